import t from 'tap'
import { logIn } from '../fixtures/app.js'
import { runRecipe, sendWith } from '../fixtures/recipes.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { testStoreContract } from '../fixtures/store-contract.js'
import { until } from '../fixtures/until.js'

t.test('the store over a node-redis client keeps the contract:', async (t) => {
  const redis = await startRedis(t, { tcp: true })
  const env = { REDIS_URL: redis.url ?? '' }
  // Clients of their own, as processes would have them.
  const [first, second] = [
    await runRecipe(t, 'A node-redis client', { env }),
    await runRecipe(t, 'A node-redis client', { env })
  ]
  let opened = 0
  testStoreContract(t, async () => () => [first, second][opened++ % 2]?.store ?? first.store)
})

t.test('with a node-redis client an outage of Redis ends no session', async (t) => {
  const redis = await startRedis(t, { tcp: true })
  const { app } = await runRecipe(t, 'A node-redis client', { env: { REDIS_URL: redis.url ?? '' } })
  const send = sendWith(app, await logIn(app))
  const look = () => send({ url: '/user/session' })
  t.equal((await look()).statusCode, 200)

  await redis.client().script('FLUSH')
  t.equal((await look()).statusCode, 200, 'a server that has forgotten the script is given it again')
  await logIn(app)

  async function assertUnavailable(): Promise<void> {
    const refused = await look()
    t.equal(refused.statusCode, 503)
    t.equal(refused.headers['session-ended'], undefined)
  }
  redis.stall()
  for (let i = 0; i < 10; i++) await assertUnavailable()
  redis.resume()
  await until(async () => (await look()).statusCode === 200)

  await redis.kill()
  for (let i = 0; i < 10; i++) await assertUnavailable()
  await redis.restart()
  await until(async () => (await look()).headers['session-ended'] === 'unknown')
  await logIn(app)
})
