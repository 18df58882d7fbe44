import t from 'tap'
import { logIn } from '../fixtures/app.js'
import { runRecipe, sendWith } from '../fixtures/recipes.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { until } from '../fixtures/until.js'

t.test('with a node-redis client an outage of Redis ends no session', async (t) => {
  const redis = await startRedis(t, { tcp: true })
  const { app } = await runRecipe(t, 'A node-redis client', { env: { REDIS_URL: redis.url ?? '' } })
  const send = sendWith(app, await logIn(app))
  const readSession = () => send({ url: '/user/session' })
  t.equal((await readSession()).statusCode, 200)

  await redis.client().script('FLUSH')
  t.equal((await readSession()).statusCode, 200, 'the script is loaded again into a server without the script')
  await logIn(app)

  async function assertUnavailable(): Promise<void> {
    const refused = await readSession()
    t.equal(refused.statusCode, 503)
    t.equal(refused.headers['session-ended'], undefined)
  }
  redis.stall()
  for (let i = 0; i < 10; i++) await assertUnavailable()
  redis.resume()
  await until(async () => (await readSession()).statusCode === 200)

  await redis.kill()
  for (let i = 0; i < 10; i++) await assertUnavailable()
  await redis.restart()
  await until(async () => (await readSession()).headers['session-ended'] === 'unknown')
  await logIn(app)
})
