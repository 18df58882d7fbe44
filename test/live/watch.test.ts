import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createRedisStore, type JwtSessionOptions, type Session, type SessionEvent } from '../../lib/index.js'
import { createApp, logIn, logout, withToken } from '../fixtures/app.js'
import { readCounter } from '../fixtures/count-reads.js'
import { createLog } from '../fixtures/log.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { STORES } from '../fixtures/stores.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'
import { captureWarnings } from '../fixtures/warnings.js'

const redis = await startRedis(t)
const operator = redis.client()

/** An app instance over the shared Redis server. */
function createInstance(t: Test, options: Partial<JwtSessionOptions> = {}): Promise<FastifyInstance> {
  // Hundreds of parallel logins are slow on a busy machine.
  return createApp(t, { upstream, redis: redis.client(), storeTimeoutMs: 10_000, ...options })
}

/** Collects the events of a session from the call on. */
function collect(app: FastifyInstance, session: Session): { events: SessionEvent[]; stop: () => void } {
  const events: SessionEvent[] = []
  return { events, stop: app.sessions.watch(session, (event) => events.push(event)) }
}

async function deleteAllKeys(): Promise<void> {
  const keys = (await operator.keys('fjs:*')).filter((key) => !key.endsWith('beat'))
  if (keys.length > 0) await operator.del(...keys)
}

/** How another instance can end a session, and the reason in the event. */
const ENDS: Record<string, (app: FastifyInstance, session: Session, token: string) => Promise<unknown>> = {
  revoked: (app, { id }) => app.sessions.revoke(id),
  logged_out: (app, _session, token) => app.inject(logout(token)),
  logged_in_again: (app, { user }, token) => logIn(app, user.id, { authorization: `Bearer ${token}` }),
  replaced: (app, { user }) => app.sessions.create(user)
}

for (const [store, createStore] of Object.entries(STORES)) {
  t.test(`${store}: an end in another instance is reported once, with the reason`, async (t) => {
    for (const [reason, end] of Object.entries(ENDS)) {
      const stored = await createStore(t)
      const options = { upstream, store: stored, session: { maxPerUser: 1 } }
      const [app, other] = [await createApp(t, options), await createApp(t, options)]
      const { token, session } = await app.sessions.create({ id: `${reason} user` })
      const { events } = collect(app, session)
      await end(other, session, token)
      await until(() => events.length > 0)
      t.strictSame(events, [{ ended: reason }])
      await app.sessions.revokeAll(session.user.id)
      t.equal(events.length, 1)
    }
  })

  t.test(`${store}: all sessions of a user end at once`, async (t) => {
    const options = { upstream, store: await createStore(t) }
    const [app, other] = [await createApp(t, options), await createApp(t, options)]
    const created = await Promise.all(Array.from({ length: 20 }, () => app.sessions.create({ id: 'all' })))
    const stays = created[0]?.session as Session
    const watches = created.map(({ session }) => collect(app, session))
    await other.sessions.revokeAll('all', { exceptId: stays.id })
    await until(() => watches.slice(1).every(({ events }) => events.length > 0))
    t.strictSame(watches[0]?.events, [])
    t.strictSame(
      watches.slice(1).map(({ events }) => events),
      Array.from({ length: 19 }, () => [{ ended: 'revoked' }])
    )
  })

  t.test(`${store}: an idle session is reported as expired although no request comes`, async (t) => {
    const app = await createApp(t, {
      upstream,
      store: await createStore(t),
      session: { ttlSeconds: 60, idleTimeoutSeconds: 1 }
    })
    const { session } = await app.sessions.create({ id: 'idle' })
    const { events } = collect(app, session)
    await until(() => events.length > 0)
    t.strictSame(events, [{ ended: 'expired' }])
  })

  t.test(`${store}: a session is reported as expired at its absolute expiry`, async (t) => {
    const app = await createApp(t, { upstream, store: await createStore(t) })
    const { session } = await app.sessions.create({ id: 'short' }, { ttlSeconds: 1 })
    const { events } = collect(app, session)
    await until(() => events.length > 0)
    t.strictSame(events, [{ ended: 'expired' }])
    t.ok(Date.now() >= session.expiresAt)
  })

  t.test(`${store}: each listener gets a change once, with the session as stored`, async (t) => {
    const options = { upstream, store: await createStore(t) }
    const [app, other] = [await createApp(t, options), await createApp(t, options)]
    const { session } = await app.sessions.create({ id: 'changed' })
    const [first, second] = [collect(app, session), collect(app, session)]
    const updated = await other.sessions.update(session.id, { theme: 'dark' })
    await until(() => first.events.length > 0 && second.events.length > 0)
    t.strictSame(first.events, [{ session: updated }])
    t.strictSame(second.events, [{ session: updated }])
    first.stop()
    await other.sessions.updateUser('changed', { id: 'changed' })
    await other.sessions.update(session.id, { theme: 'light' })
    await until(() => second.events.length > 1)
    t.equal(second.events.length, 2, 'an update without a change of the session is no event')
    t.equal(first.events.length, 1, 'a listener gets no event after the watch has stopped')
  })

  t.test(`${store}: a change from before the watch is reported at once`, async (t) => {
    const app = await createApp(t, { upstream, store: await createStore(t) })
    const { session } = await app.sessions.create({ id: 'late' })
    await app.sessions.update(session.id, { theme: 'dark' })
    const changed = collect(app, session)
    await until(() => changed.events.length > 0)
    t.hasStrict(changed.events, [{ session: { data: { theme: 'dark' } } }])
    await app.sessions.revoke(session.id)
    const ended = collect(app, session)
    await until(() => ended.events.length > 0)
    t.strictSame(ended.events, [{ ended: 'revoked' }])
  })
}

t.test('a key that an operator deletes ends the session', async (t) => {
  const app = await createInstance(t)
  const { session } = await app.sessions.create({ id: 'ada' })
  const { events } = collect(app, session)
  await deleteAllKeys()
  await until(() => events.length > 0)
  t.strictSame(events, [{ ended: 'unknown' }])
})

t.test('activity is a change, and moves the expiry', async (t) => {
  const app = await createInstance(t, { session: { idleTimeoutSeconds: 1, ttlSeconds: 60 } })
  const other = await createInstance(t, { session: { idleTimeoutSeconds: 1, ttlSeconds: 60 } })
  const { session, token } = await app.sessions.create({ id: 'ada' })
  const { events } = collect(app, session)
  for (let i = 0; i < 8; i++) {
    await delay(250)
    t.equal((await other.inject(withToken(token))).statusCode, 200)
  }
  t.ok(events.length > 0)
  t.ok(events.every((event) => 'session' in event && event.session.lastSeenAt > session.lastSeenAt))
  await until(() => events.some((event) => 'ended' in event))
  t.strictSame(events.at(-1), { ended: 'expired' })
})

t.test('watched sessions are not read while nothing changes', async (t) => {
  const app = await createInstance(t)
  const created = await Promise.all(Array.from({ length: 300 }, (_, i) => app.sessions.create({ id: `quiet ${i}` })))
  const watches = created.map(({ session }) => collect(app, session))
  const countReads = readCounter(operator)
  // By now the tracking is current, and every session was read once.
  await until(async () => {
    await delay(1_500)
    return (await countReads()) === 0
  }, 60)
  t.ok(watches.every(({ events }) => events.length === 0))
  const { session } = created[7] as { session: Session }
  await app.sessions.revoke(session.id)
  await until(() => watches[7]?.events.length === 1)
  t.ok((await countReads()) <= 3, 'only the changed session was read')
})

t.test('an outage ends no session, and an end during the outage is reported after the outage', async (t) => {
  const app = await createInstance(t, { storeTimeoutMs: 1_000 })
  const [kept, ended] = [await app.sessions.create({ id: 'kept' }), await app.sessions.create({ id: 'ended' })]
  const watches = [kept, ended].map(({ session }) => collect(app, session))
  const other = createRedisStore(redis.client())
  const ending = (async () => {
    redis.stall()
    await delay(3_000)
    t.strictSame(
      watches.flatMap(({ events }) => events),
      []
    )
    const pending = other.end(ended.session.id, 'revoked')
    redis.resume()
    await pending
  })()
  await ending
  await until(() => watches[1]?.events.length === 1)
  t.strictSame(watches[1]?.events, [{ ended: 'revoked' }])
  t.strictSame(watches[0]?.events, [])
})

t.test('an end while the tracking connection is down is reported after the reconnect', async (t) => {
  const app = await createInstance(t)
  const { session } = await app.sessions.create({ id: 'cut' })
  const { events } = collect(app, session)
  const store = createRedisStore(redis.client())
  await until(async () => /flags=\S*t/.test(String(await operator.client('LIST'))))
  await Promise.all([operator.call('CLIENT', 'KILL', 'TYPE', 'pubsub'), store.end(session.id, 'revoked')])
  await until(() => events.length > 0)
  t.strictSame(events, [{ ended: 'revoked' }])
})

t.test('during an outage the absolute expiry ends a session, and the idle expiry does not', async (t) => {
  const own = await startRedis(t)
  const session = { idleTimeoutSeconds: 1, ttlSeconds: 60 }
  const app = await createApp(t, { upstream, redis: own.client(), session, storeTimeoutMs: 1_000 })
  const [short, long] = [
    await app.sessions.create({ id: 'short' }, { ttlSeconds: 2 }),
    await app.sessions.create({ id: 'long' })
  ]
  const watches = [short, long].map(({ session }) => collect(app, session))
  own.stall()
  await until(() => watches[0]?.events.length === 1)
  await delay(500)
  t.strictSame(watches[0]?.events, [{ ended: 'expired' }])
  t.strictSame(watches[1]?.events, [])
  own.resume()
})

t.test('without permission for tracking there is a warning, and ends are reported late', async (t) => {
  const own = await startRedis(t)
  const admin = own.client()
  await admin.acl('SETUSER', 'app', 'on', '>secret', '~*', '&*', '+@all', '-client|tracking')
  const warnings = captureWarnings(t, 'FST_JWT_SESSION_EVENTS_UNAVAILABLE')
  const redisOptions = { username: 'app', password: 'secret' }
  const app = await createApp(t, { upstream, redis: own.client(redisOptions), routes: { events: {} } })
  t.equal(warnings().length, 1)
  const { session } = await app.sessions.create({ id: 'ada' })
  const { events } = collect(app, session)
  const store = createRedisStore(own.client())
  await delay(300)
  await store.end(session.id, 'revoked')
  await until(() => events.length > 0, 30)
  t.strictSame(events, [{ ended: 'revoked' }])
  const own2 = await app.sessions.create({ id: 'bob' })
  const watched = collect(app, own2.session)
  const countReads = readCounter(admin)
  await until(async () => (await countReads()) > 0)
  await app.sessions.revoke(own2.session.id)
  await until(() => watched.events.length > 0)
  t.strictSame(watched.events, [{ ended: 'revoked' }], 'a change by this instance is reported at once')
})

t.test('an error of a listener is logged, and other listeners still get the event', async (t) => {
  const log = createLog()
  const app = await createApp(t, { upstream, redis: redis.client() }, { logger: log.logger })
  const { session } = await app.sessions.create({ id: 'ada' })
  app.sessions.watch(session, () => {
    throw new Error('a secret')
  })
  const { events } = collect(app, session)
  await app.sessions.revoke(session.id)
  await until(() => events.length > 0)
  t.strictSame(events, [{ ended: 'revoked' }])
  const lines = log.lines.filter((line) => line.includes('A listener of app.sessions.watch() threw'))
  t.equal(lines.length, 1)
  t.notMatch(lines[0], 'a secret')
})

t.test('a wrong call of watch() throws a coded error', async (t) => {
  const app = await createInstance(t)
  const { session } = await app.sessions.create({ id: 'ada' })
  for (const wrong of [undefined, null, 'id', {}, { id: 'ada' }]) {
    t.throws(() => app.sessions.watch(wrong as never, () => {}), {
      code: 'FST_JWT_SESSION_INVALID_OPTION',
      option: 'session'
    })
  }
  t.throws(() => app.sessions.watch(session, undefined as never), {
    code: 'FST_JWT_SESSION_INVALID_OPTION',
    option: 'listener'
  })
})
