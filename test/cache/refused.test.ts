import t, { type Test } from 'tap'
import { createMemoryStore, type SessionStore } from '../../lib/index.js'
import { createApp, logout, withToken } from '../fixtures/app.js'
import { readCounter } from '../fixtures/count-reads.js'
import { readRights } from '../fixtures/readme-rights.js'
import { type StartedRedis, startRedis } from '../fixtures/redis/start-redis.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'
import { captureWarnings } from '../fixtures/warnings.js'

const CODE = 'FST_JWT_SESSION_CACHE_UNAVAILABLE'

const user = { username: 'sessions', password: 'a password' }

/** An app with the cache, the warnings of the app, and a counter of the reads of three requests. */
async function createCachedApp(t: Test, redis: StartedRedis, credentials: object) {
  const warnings = captureWarnings(t, CODE)
  const app = await createApp(t, { upstream, redis: redis.client(credentials), cache: true })
  const countReads = readCounter(redis.client())
  const { token } = await app.sessions.create({ id: 'ada' })
  return {
    async countThreeUses() {
      await countReads()
      for (let i = 0; i < 3; i++) t.equal((await app.inject(withToken(token))).statusCode, 200)
      return countReads()
    },
    async logOut() {
      t.equal((await app.inject(logout(token))).statusCode, 204)
      t.equal((await app.inject(withToken(token))).json().reason, 'logged_out')
    },
    warnings,
    /** An open app tries again to track, with the rights of a later test. */
    close: () => app.close()
  }
}

async function allow(redis: StartedRedis, rights: string[]): Promise<void> {
  const admin = redis.client()
  await admin.call('ACL', 'SETUSER', user.username, 'reset', 'on', `>${user.password}`, ...rights)
  await admin.call('ACL', 'LOG', 'RESET')
}

t.test('a Redis user with the rights of README has the cache, and needs each right', async (t) => {
  const redis = await startRedis(t)
  const { always, forCache } = await readRights()
  await allow(redis, [...always, ...forCache])
  const { countThreeUses, warnings, close } = await createCachedApp(t, redis, user)
  await until(async () => (await countThreeUses()) === 0)
  t.strictSame(warnings(), [])
  t.notMatch(JSON.stringify(await redis.client().call('ACL', 'LOG')), /tracking|subscribe|invalidate/)
  await close()
  for (const missing of forCache) {
    await allow(redis, [...always, ...forCache.filter((right) => right !== missing)])
    await testRefused(t, redis, user, 'NOPERM')
  }
})

t.test('an app on a Redis without tracking verifies sessions without a cache', async (t) => {
  const redis = await startRedis(t, { args: ['--rename-command', 'CLIENT', ''] })
  await testRefused(t, redis, {}, 'ERR')
})

async function testRefused(t: Test, redis: StartedRedis, credentials: object, code: string): Promise<void> {
  const { countThreeUses, logOut, warnings, close } = await createCachedApp(t, redis, credentials)
  t.equal(await countThreeUses(), 3)
  await logOut()
  const [[text, options] = [], ...more] = warnings()
  t.equal(text, `Sessions are verified without a cache: Redis does not allow tracking of its keys (${code}).`)
  t.strictSame(options, { type: 'JwtSessionWarning', code: CODE })
  t.strictSame(more, [])
  await close()
}

t.test('the warning about refused tracking appears once, for any number of refusals', async (t) => {
  const warnings = captureWarnings(t, CODE)
  const track: SessionStore['track'] = ({ onRefused }) => {
    for (let i = 0; i < 3; i++) onRefused(new Error('NOPERM to another caller'))
    return { attempted: Promise.resolve(), isCurrent: () => false, close() {} }
  }
  await createApp(t, { upstream, store: { ...createMemoryStore(), track }, cache: true })
  t.equal(warnings().length, 1)
})

t.test('a Redis that is down at the start is no refusal, and sessions are cached later', async (t) => {
  const redis = await startRedis(t)
  await redis.kill()
  const warnings = captureWarnings(t, CODE)
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
  t.strictSame(warnings(), [])
})
