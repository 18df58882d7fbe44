import t from 'tap'
import { Type } from 'typebox'
import { createMemoryStore, type SessionStore } from '../../lib/index.js'
import { createApp, logIn, logout, withToken } from '../fixtures/app.js'
import { createLog } from '../fixtures/log.js'
import { freezeClock, NOW, readPayload, upstream } from '../fixtures/tokens.js'

const NEEDED =
  '{"statusCode":401,"code":"FST_JWT_SESSION_LOGIN_NEEDED","error":"Unauthorized","message":"The session cannot be used, and a new login is needed"}'

function idOf(token: string): string {
  return readPayload(token).jti as string
}

async function spoil(store: SessionStore, id: string, change: (record: string) => string): Promise<void> {
  const found = await store.find(id)
  if (found === null || 'ended' in found) throw new Error('No record')
  if (!(await store.replace(id, found.record, change(found.record)))) throw new Error('Not replaced')
}

const UNUSABLE: Record<string, (record: string) => string> = {
  'a corrupt record': () => 'a b c d',
  'a record that was cut off': (record) => record.slice(0, -3),
  'a record of a much newer release': (record) => record.replace(/^(\S+ \S+ \S+ )\d+/, '$199')
}

t.test('a record that cannot be used needs a new login, and is no evidence of an end', async (t) => {
  for (const [name, change] of Object.entries(UNUSABLE)) {
    const store = createMemoryStore()
    t.teardown(() => store.close())
    const { lines, logger } = createLog()
    const app = await createApp(t, { store, upstream, routes: { sessions: {} } }, { logger })
    const token = await logIn(app, 'ada')
    const id = idOf(token)
    await spoil(store, id, change)

    const answer = await app.inject(withToken(token))
    t.equal(answer.body, NEEDED, name)
    t.match(answer.headers, {
      'cache-control': 'no-store',
      'www-authenticate': 'Bearer realm="session", error="invalid_token"'
    })
    for (const header of ['clear-site-data', 'session-ended']) t.equal(answer.headers[header], undefined, header)
    const logged = lines.filter((line) => line.includes('FST_JWT_SESSION_LOGIN_NEEDED'))
    t.match(logged, [/"level":50/])

    t.equal(await app.sessions.find(id), null)
    t.strictSame(await app.sessions.list('ada'), [])
    t.equal(await app.sessions.update(id, { a: 1 }), null)

    const next = await logIn(app, 'ada', { authorization: `Bearer ${token}` })
    t.equal((await app.inject(withToken(token))).json().reason, 'logged_in_again', 'a login replaces the record')
    await spoil(store, idOf(next), change)
    t.equal((await app.inject(logout(next))).statusCode, 204)
    t.equal((await app.inject(withToken(next))).json().reason, 'logged_out', 'a logout ends the session')
    const last = await logIn(app, 'ada')
    await spoil(store, idOf(last), change)
    await app.sessions.revokeAll('ada')
    t.equal((await app.inject(withToken(last))).json().reason, 'revoked')
  }
})

t.test('a user that does not fit userSchema needs a new login, until the user fits again', async (t) => {
  const store = createMemoryStore()
  const before = await createApp(t, { store, upstream })
  const userSchema = Type.Object({ id: Type.String(), role: Type.String() })
  const after = await createApp(t, { store, upstream, userSchema })
  const token = await logIn(before, 'ada')
  t.equal((await after.inject(withToken(token))).json().code, 'FST_JWT_SESSION_LOGIN_NEEDED')
  t.equal((await before.inject(withToken(token))).statusCode, 200)
})

t.test('the upstream is not notified of the logout of a session with an unusable record', async (t) => {
  const store = createMemoryStore()
  const notified: unknown[] = []
  const { lines, logger } = createLog()
  const client = { ...upstream, logout: async (session: unknown) => notified.push(session) }
  const app = await createApp(t, { store, upstream: client }, { logger })
  const token = await logIn(app, 'ada')
  await spoil(store, idOf(token), () => 'a b c d')
  t.equal((await app.inject(logout(token))).statusCode, 204)
  t.strictSame(notified, [])
  t.ok(lines.some((line) => line.includes('"level":50') && line.includes('not notified')))
})

t.test('while the downtime is unknown, an idle session is no evidence of an end', async (t) => {
  const clock = freezeClock(t)
  const store = createMemoryStore()
  let downtime: { from: number; to: number }[] | null = []
  const watchDowntime = () => ({ attempted: Promise.resolve(), of: () => downtime, close: () => {} })
  const session = { idleTimeoutSeconds: 60, maxPerUser: 1, onMaxPerUser: 'reject' } as const
  const options = { store: { ...store, watchDowntime }, upstream, session, routes: { sessions: {} } }
  const app = await createApp(t, options)
  const token = await logIn(app, 'ada')
  const id = idOf(token)
  const unavailable = { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE', statusCode: 503 }

  downtime = null
  clock.now = NOW + 59
  t.equal((await app.sessions.find(id))?.id, id, 'a session that is not idle is live')
  clock.now = NOW + 60
  const answer = await app.inject(withToken(token))
  t.match(answer.json(), unavailable)
  for (const header of ['clear-site-data', 'session-ended']) t.equal(answer.headers[header], undefined, header)
  await t.rejects(app.sessions.find(id), unavailable)
  await t.rejects(app.sessions.list('ada'), unavailable)
  await t.rejects(app.sessions.update(id, { a: 1 }), unavailable)
  await t.rejects(app.sessions.create({ id: 'ada' }), unavailable, 'the limit may have room')

  downtime = [{ from: (NOW + 10) * 1_000, to: (NOW + 40) * 1_000 }]
  t.equal((await app.sessions.find(id))?.id, id, 'downtime does not count as idle time')
  t.equal((await app.sessions.list('ada')).length, 1)
  const shown = await app.inject(withToken(token, { url: '/user/session' }))
  t.equal(shown.json().idle_expires_at, new Date((NOW + 90) * 1_000).toISOString())
  clock.now = NOW + 90
  t.equal(await app.sessions.find(id), null)
  t.strictSame(await app.sessions.list('ada'), [])
  t.equal((await app.inject(withToken(token))).json().reason, 'expired')
})
