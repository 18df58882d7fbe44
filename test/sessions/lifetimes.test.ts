import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Session, SessionOptions } from '../../lib/index.js'
import { createApp, withToken } from '../fixtures/app.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { STORES } from '../fixtures/stores.js'
import { freezeClock, HEADER, NOW, payloadOf, readPayload, seal } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

const TTL = 3_600
const IDLE = 600
const session = { ttlSeconds: TTL, idleTimeoutSeconds: IDLE }

/** The status, or the reason of a 401. */
async function visit(app: FastifyInstance, token: string): Promise<unknown> {
  const answer = await app.inject(withToken(token))
  // Wait for the write of activity: the test clock moves faster than any store.
  await app.sessions.isReady()
  await turn()
  if (answer.statusCode === 401) return answer.json().reason
  return answer.statusCode
}

/** A new, valid token of the session. */
function freshToken(session: Session): string {
  const now = Math.floor(Date.now() / 1_000)
  return seal(HEADER, payloadOf(session, { iat: `${now}`, exp: `${Math.ceil(session.expiresAt / 1_000)}` }))
}

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`the lifetimes of a session hold in the ${name} store:`, async (t) => {
    async function open(t: Test, options: SessionOptions = session) {
      const store = await createStore(t)
      const clock = freezeClock(t)
      const app = await createApp(t, { store, session: options, routes: { sessions: {} } })
      return { store, clock, app, ...(await app.sessions.create({ id: 'ada' })) }
    }

    t.test('a session ends at the idle expiry, to the millisecond', async (t) => {
      const { app, clock, token, session } = await open(t)
      clock.now = NOW + IDLE - 0.001
      t.ok(await app.sessions.find(session.id))
      for (const late of [0, 0.001, 1, TTL - IDLE]) {
        clock.now = NOW + IDLE + late
        t.equal(await app.sessions.find(session.id), null)
        t.strictSame(await app.sessions.list('ada'), [])
        t.equal(await app.sessions.update(session.id, { a: 1 }), null)
      }
      clock.now = NOW + IDLE
      t.equal(await visit(app, token), 'expired')
    })

    t.test('each activity extends the idle expiry by the whole idle timeout', async (t) => {
      const { app, clock, token, session } = await open(t)
      for (const use of [IDLE - 0.001, IDLE + 400, IDLE + 900]) {
        clock.now = NOW + use
        t.equal(await visit(app, token), 200)
        t.equal((await app.sessions.find(session.id))?.lastSeenAt, Math.round(clock.now * 1_000))
      }
      clock.now = NOW + IDLE + 900 + IDLE - 0.001
      t.ok(await app.sessions.find(session.id))
      clock.now = NOW + IDLE + 900 + IDLE
      t.equal(await visit(app, token), 'expired')
    })

    t.test('a session ends at the absolute expiry despite activity', async (t) => {
      const { app, clock, token, session } = await open(t)
      for (let second = 0; second < TTL; second += 55) {
        clock.now = NOW + second
        t.equal(await visit(app, token), 200)
      }
      t.equal(
        (await app.sessions.find(session.id))?.expiresAt,
        session.expiresAt,
        'activity does not move the absolute expiry'
      )
      clock.now = NOW + TTL - 0.001
      t.equal(await visit(app, token), 200)
      for (const late of [0, 0.001, 60, TTL]) {
        clock.now = NOW + TTL + late
        t.equal(await visit(app, token), 'expired')
        t.equal(await app.sessions.find(session.id), null)
      }
    })

    t.test('a token with a later expiry does not extend a session', async (t) => {
      const { app, clock, session } = await open(t, { ttlSeconds: TTL, idleTimeoutSeconds: false })
      const longer = seal(HEADER, payloadOf(session, { exp: `${NOW + 2 * TTL}` }))
      t.equal(await visit(app, longer), 'invalid_token')
      clock.now = NOW + TTL
      t.not(await visit(app, longer), 200)
      t.equal(await app.sessions.find(session.id), null)
    })

    t.test('update() does not extend a session', async (t) => {
      const { app, clock, token, session } = await open(t)
      clock.now = NOW + IDLE - 1
      t.equal((await app.sessions.update(session.id, { a: 1 }))?.lastSeenAt, session.lastSeenAt)
      clock.now = NOW + IDLE
      t.equal(await app.sessions.update(session.id, { a: 2 }), null)
      t.equal(await visit(app, token), 'expired')
    })

    t.test('a session and its token end in the same second', async (t) => {
      const { token, session } = await open(t)
      t.match(readPayload(token), { iat: NOW, exp: NOW + TTL })
      t.equal(session.expiresAt, (NOW + TTL) * 1_000)
    })

    t.test('a session without an idle timeout ends at the absolute expiry', async (t) => {
      const { app, clock, token, session } = await open(t, { ttlSeconds: TTL, idleTimeoutSeconds: false })
      clock.now = NOW + TTL - 0.001
      t.equal(await visit(app, token), 200)
      t.equal((await app.sessions.find(session.id))?.lastSeenAt, session.createdAt, 'no activity is written')
      clock.now = NOW + TTL
      t.equal(await visit(app, token), 'expired')
    })

    t.test('only activity extends a session', async (t) => {
      const { app, clock, token, session } = await open(t)
      const { token: other } = await app.sessions.create({ id: 'bob' })
      clock.now = NOW + IDLE - 0.001
      for (const method of ['GET', 'HEAD'] as const) {
        t.equal((await app.inject(withToken(token, { method, url: '/user/session' }))).statusCode, 200)
      }
      t.equal((await app.inject(withToken(token, { url: '/open' }))).statusCode, 200)
      t.equal(await visit(app, `${token}x`), 'invalid_token')
      t.equal(await visit(app, freshToken({ ...session, user: { id: 'bob' } })), 'unknown')
      t.equal(await visit(app, other), 200)
      t.equal((await app.sessions.list('ada')).length, 1)
      t.ok(await app.sessions.isReady())
      t.equal((await app.sessions.update(session.id, { a: 1 }))?.lastSeenAt, session.createdAt)
      clock.now = NOW + IDLE
      t.equal(await visit(app, token), 'expired')
    })
  })
}

const FAULTS = {
  'read-only': [
    ['REPLICAOF', '127.0.0.1', '1'],
    ['REPLICAOF', 'NO', 'ONE']
  ],
  'out of memory': [
    ['CONFIG', 'SET', 'maxmemory', '1'],
    ['CONFIG', 'SET', 'maxmemory', '0']
  ]
}

for (const [fault, commands] of Object.entries(FAULTS)) {
  t.test(`a Redis that is ${fault} serves sessions, and activity is written after the recovery`, async (t) => {
    const redis = await startRedis(t)
    const [start, end] = commands.map(
      ([name = '', ...args]) =>
        () =>
          redis.client().call(name, ...args)
    )
    const clock = freezeClock(t)
    const app = await createApp(t, { redis: redis.client(), session })
    const { token, session: opened } = await app.sessions.create({ id: 'ada' })
    await start?.()
    clock.now = NOW + IDLE / 2
    for (let times = 0; times < 10; times++) t.equal(await visit(app, token), 200)
    t.equal((await app.sessions.find(opened.id))?.lastSeenAt, opened.createdAt)
    await end?.()
    await until(async () => {
      t.equal(await visit(app, token), 200)
      return (await app.sessions.find(opened.id))?.lastSeenAt === clock.now * 1_000
    })
  })
}
