import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { createMemoryStore, createRedisStore, type Session } from '../../lib/index.js'
import { createApp, logIn, logout, onceNotified, withToken } from '../fixtures/app.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { STORES } from '../fixtures/stores.js'
import { assertEnded, readPayload } from '../fixtures/tokens.js'

interface Ending {
  /** Ends the session of the token. */
  end(app: FastifyInstance, token: string): Promise<unknown>
  reason: string
}

const ENDINGS: Record<string, Ending> = {
  'a logout': { end: (app, token) => app.inject(logout(token)), reason: 'logged_out' },
  'a revocation': { end: (app, token) => app.sessions.revoke(idOf(token)), reason: 'revoked' },
  'a revocation of all sessions': { end: (app, token) => app.sessions.revokeAll(userOf(token)), reason: 'revoked' },
  'a DELETE of the session': { end: removeFromList, reason: 'revoked' },
  'a DELETE of all other sessions': { end: removeOthers, reason: 'revoked' },
  'a login beyond the limit': { end: evict, reason: 'replaced' },
  'a login with the token': {
    end: (app, token) => logIn(app, userOf(token), bearer(token)),
    reason: 'logged_in_again'
  },
  'a login of another user with the token': {
    end: (app, token) => logIn(app, 'mallory', bearer(token)),
    reason: 'logged_in_again'
  }
}

function idOf(token: string): string {
  return readPayload(token).jti as string
}

function userOf(token: string): string {
  return readPayload(token).sub as string
}

function bearer(token: string) {
  return { authorization: `Bearer ${token}` }
}

async function removeFromList(app: FastifyInstance, token: string): Promise<void> {
  const other = await logIn(app, userOf(token))
  await app.inject(withToken(other, { method: 'DELETE', url: `/user/sessions/${idOf(token)}` }))
}

async function removeOthers(app: FastifyInstance, token: string): Promise<void> {
  const other = await logIn(app, userOf(token))
  await app.inject(withToken(other, { method: 'DELETE', url: '/user/sessions' }))
}

async function evict(app: FastifyInstance, token: string): Promise<void> {
  for (let n = 0; n < MAX_PER_USER; n++) await logIn(app, userOf(token))
}

const MAX_PER_USER = 3

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`the reason of an ended session is the same everywhere with the ${name} store:`, async (t) => {
    const store = await createStore(t)
    const options = { store, session: { maxPerUser: MAX_PER_USER }, routes: { sessions: {} } }
    const [app, other] = [await createApp(t, options), await createApp(t, options)]
    const visit = async (token: string, at = other) => ({
      answer: await at.inject(withToken(token)),
      handlerRuns: 0,
      storeCalls: []
    })

    for (const [how, { end, reason }] of Object.entries(ENDINGS)) {
      t.test(`after ${how} every instance answers ${reason}, in the body and with the clear signal`, async (t) => {
        const token = await logIn(app, how)
        t.equal((await visit(token)).answer.statusCode, 200)
        await end(app, token)
        assertEnded(t, await visit(token, app), reason)
        await onceNotified(() => other.inject(withToken(token)))
        for (const at of [other, app]) assertEnded(t, await visit(token, at), reason)
      })
    }

    t.test('the first reason is kept when a session is ended twice', async (t) => {
      for (const [first, { end, reason }] of Object.entries(ENDINGS)) {
        for (const [second, again] of Object.entries(ENDINGS)) {
          const token = await logIn(app, `${first}, then ${second}`)
          await end(app, token)
          await again.end(other, token)
          t.equal((await visit(token)).answer.json().reason, reason, `${first}, then ${second}`)
        }
      }
    })

    t.test('the absolute expiry and the idle expiry have the reason "expired"', async (t) => {
      const now = Date.now
      for (const session of [{ ttlSeconds: 60 }, { idleTimeoutSeconds: 60 }]) {
        const brief = await createApp(t, { store, session })
        const token = await logIn(brief)
        const restore = t.intercept(Date, 'now', { value: () => now() + 61_500 })
        assertEnded(t, await visit(token, brief), 'expired')
        restore.restore()
        t.equal((await visit(token, brief)).answer.statusCode, 200, 'the clock has ended the session, not the request')
      }
    })

    t.test('a session without a record has the reason "unknown"', async (t) => {
      const token = await logIn(app)
      const stranger = await createApp(t, { store: await createStore(t) })
      assertEnded(t, await visit(token, stranger), 'unknown')
    })

    t.test('a login that the upstream rejects ends no session', async (t) => {
      const token = await logIn(app, 'dan')
      const login = postJson('/user/login', { ...CREDENTIALS, password: 'wrong' }, bearer(token))
      t.equal((await app.inject(login)).statusCode, 401)
      t.equal((await visit(token)).answer.statusCode, 200)
    })
  })
}

t.test('the reason is stored in memory until the expiry of the session, and no longer', async (t) => {
  const store = createMemoryStore()
  const app = await createApp(t, { store, session: { maxPerUser: MAX_PER_USER }, routes: { sessions: {} } })
  const now = Date.now
  for (const { end, reason } of Object.values(ENDINGS)) {
    const token = await logIn(app)
    const { expiresAt } = (await app.sessions.find(idOf(token))) as Session
    await end(app, token)
    const clock = t.intercept(Date, 'now', { value: () => expiresAt - 1 })
    t.strictSame(await store.find(idOf(token)), { ended: reason })
    clock.restore()
    // The token expires at a whole second.
    const later = t.intercept(Date, 'now', { value: () => Math.ceil(expiresAt / 1_000) * 1_000 })
    t.equal(await store.find(idOf(token)), null)
    later.restore()
  }
  t.equal(Date.now, now)
})

t.test('the reason is stored in Redis until the expiry of the session, and no longer', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client()
  const store = createRedisStore(client)
  const app = await createApp(t, { store, session: { maxPerUser: MAX_PER_USER }, routes: { sessions: {} } })
  for (const [how, { end, reason }] of Object.entries(ENDINGS)) {
    const token = await logIn(app)
    const { expiresAt } = (await app.sessions.find(idOf(token))) as Session
    await end(app, token)
    t.strictSame(await store.find(idOf(token)), { ended: reason })
    await Promise.all([app.sessions.revokeAll('ada'), app.sessions.revokeAll('mallory')])
    const keys = await client.keys(`*${idOf(token).slice(16)}*`)
    t.equal(keys.length, 1)
    const ends = await Promise.all(keys.map(async (key) => Date.now() + (await client.pttl(key))))
    t.ok(Math.max(...ends) < expiresAt + 5_000, how)
    t.ok(Math.min(...ends) > expiresAt - 1_000, how)
    await client.flushall()
  }
})
