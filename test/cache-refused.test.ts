import t, { type Test } from 'tap'
import { createApp, logout, withToken } from './fixtures/app.js'
import { readCounter } from './fixtures/count-reads.js'
import { readRights } from './fixtures/readme-rights.js'
import { type StartedRedis, startRedis } from './fixtures/redis/start-redis.js'
import { upstream } from './fixtures/tokens.js'
import { until } from './fixtures/until.js'

const CODE = 'FST_JWT_SESSION_CACHE_UNAVAILABLE'
const user = { username: 'sessions', password: 'a password' }

/** Whether a session that is used three times is read once, by a user of Redis, and what warnings come with it. */
async function tryCache(t: Test, redis: StartedRedis, credentials: object) {
  const emitWarning = t.capture(process, 'emitWarning')
  const app = await createApp(t, { upstream, redis: redis.client(credentials), cache: { maxStaleMs: 100 } })
  const countReads = readCounter(redis.client())
  const { token } = await app.sessions.create({ id: 'ada' })
  await countReads()
  for (let i = 0; i < 3; i++) t.equal((await app.inject(withToken(token))).statusCode, 200)
  const reads = await countReads()
  t.equal((await app.inject(logout(token))).statusCode, 204)
  t.equal((await app.inject(withToken(token))).json().reason, 'logged_out')
  return { isCached: reads === 1, warnings: emitWarning().map(({ args }) => args as unknown[]) }
}

async function allow(redis: StartedRedis, rights: string[]): Promise<void> {
  const admin = redis.client()
  await admin.call('ACL', 'SETUSER', user.username, 'reset', 'on', `>${user.password}`, ...rights)
  await admin.call('ACL', 'LOG', 'RESET')
}

t.test('a Redis user with the rights of README has the cache, and needs each of them', async (t) => {
  const redis = await startRedis(t)
  const { always, forCache } = await readRights()
  await allow(redis, [...always, ...forCache])
  t.strictSame(await tryCache(t, redis, user), { isCached: true, warnings: [] })
  t.notMatch(JSON.stringify(await redis.client().call('ACL', 'LOG')), /tracking|subscribe|invalidate/)
  for (const missing of forCache) {
    await allow(redis, [...always, ...forCache.filter((right) => right !== missing)])
    const { isCached, warnings } = await tryCache(t, redis, user)
    t.notOk(isCached, missing)
    t.match(warnings, [[/without a cache.* \(NOPERM\)/, { type: 'JwtSessionWarning', code: CODE }]])
  }
})

t.test(
  'without tracking it is said once, however often it is tried, and sessions work as without a cache',
  async (t) => {
    const redis = await startRedis(t, { args: ['--rename-command', 'CLIENT', ''] })
    const { isCached, warnings } = await tryCache(t, redis, {})
    t.notOk(isCached)
    t.match(warnings, [[/without a cache.* \(ERR\)/, { code: CODE }]])
    t.equal(warnings.length, 1)
  }
)

t.test('a Redis that is down at the start is no refusal: the cache is there when it is', async (t) => {
  const redis = await startRedis(t)
  await redis.kill()
  const emitWarning = t.capture(process, 'emitWarning')
  const client = redis.client({ enableOfflineQueue: false, retryStrategy: () => 20 })
  const app = await createApp(t, { upstream, redis: client, cache: true })
  await redis.restart()
  await until(async () => app.sessions.isReady())
  const { token } = await app.sessions.create({ id: 'ada' })
  const countReads = readCounter(redis.client())
  await until(async () => {
    await countReads()
    t.equal((await app.inject(withToken(token))).statusCode, 200)
    return (await countReads()) === 0
  })
  t.strictSame(emitWarning(), [])
})
