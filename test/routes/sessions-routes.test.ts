import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStore, type JwtSessionOptions, type Session, type SessionStore } from '../../lib/index.js'
import { createSessionId } from '../../lib/model/session-id.js'
import { createApp, logIn, logout, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { STORES } from '../fixtures/stores.js'
import { assertEnded, readPayload, upstream } from '../fixtures/tokens.js'

const PATH = '/user/sessions'
const NOT_FOUND =
  '{"statusCode":404,"code":"FST_JWT_SESSION_NOT_FOUND","error":"Not Found","message":"The user has no session with this id"}'

function createRoutedApp(t: Test, options: Partial<JwtSessionOptions> = {}): Promise<FastifyInstance> {
  return createApp(t, { upstream, routes: { sessions: {} }, ...options })
}

function get(app: FastifyInstance, token: string, url = PATH): Promise<LightMyRequestResponse> {
  return app.inject(withToken(token, { url }))
}

function remove(app: FastifyInstance, token: string, url = PATH): Promise<LightMyRequestResponse> {
  return app.inject(withToken(token, { method: 'DELETE', url }))
}

function idOf(token: string): string {
  return readPayload(token).jti as string
}

/** Asserts a 204 without a body and without the clear signal. */
function assertDone(t: Test, { statusCode, body, headers }: LightMyRequestResponse): void {
  t.equal(statusCode, 204)
  t.equal(body, '')
  const { date, connection, ...rest } = headers
  t.strictSame(rest, { 'cache-control': 'no-store' })
}

/** The bytes of the reply without the date. */
function bytesOf({ statusCode, headers, body }: LightMyRequestResponse): string {
  return JSON.stringify([statusCode, { ...headers, date: '' }, body])
}

t.test('a session is listed with the address that Fastify trusts, and no other address', async (t) => {
  for (const [trustProxy, ip] of [
    [false, '127.0.0.1'],
    [true, '203.0.113.7']
  ] as const) {
    const app = await createApp(t, { upstream, routes: { sessions: {} } }, { trustProxy })
    const token = await logIn(app, 'ada', { 'x-forwarded-for': '203.0.113.7' })
    t.match((await get(app, token)).json(), [{ ip }])
  }
})

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`the routes of a user's own sessions, in the ${name} store`, async (t) => {
    const app = await createRoutedApp(t, { store: await createStore(t) })
    const statusOf = async (token: string) => (await get(app, token, '/user/session')).statusCode

    t.test('GET lists the sessions of the user, oldest first, with the documented fields only', async (t) => {
      const tokens = [await logIn(app, 'ada', { 'user-agent': 'one' }), await logIn(app, 'ada', { 'user-agent': '' })]
      const { token, session } = await app.sessions.create({ id: 'ada' })
      await app.sessions.update(session.id, { secret: 'data' })
      await logIn(app, 'bob')
      const answer = await get(app, token)
      t.equal(answer.statusCode, 200)
      t.match(answer.headers, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' })
      t.notOk(answer.headers['clear-site-data'] ?? answer.headers['session-ended'])
      const toIso = (time: number | undefined) => new Date(time as number).toISOString()
      const expected = (await app.sessions.list('ada')).map(({ id, createdAt, lastSeenAt, expiresAt }, index) => ({
        id,
        created_at: toIso(createdAt),
        last_seen_at: toIso(lastSeenAt),
        expires_at: toIso(expiresAt),
        ip: ['127.0.0.1', '127.0.0.1', null][index],
        user_agent: ['one', '', null][index],
        current: id === session.id
      }))
      t.equal(answer.body, JSON.stringify(expected))
      t.strictSame(
        expected.map(({ id }) => id),
        [...tokens.map(idOf), session.id]
      )
      for (const [index, token] of tokens.entries()) {
        const current = (await get(app, token)).json().map(({ current }: { current: boolean }) => current)
        t.strictSame(current, [index === 0, index === 1, false])
      }
    })

    t.test('DELETE ends all sessions of the user except the session of the request', async (t) => {
      const [first, current, last] = [await logIn(app, 'cy'), await logIn(app, 'cy'), await logIn(app, 'cy')]
      const bystander = await logIn(app, 'dan')
      const userId = { 'x-user-id': 'dan' }
      const payload = { user: { id: 'dan' }, userId: 'dan', sub: 'dan', exceptId: idOf(last) }
      const attack = withToken(current, { method: 'DELETE', url: `${PATH}?userId=dan&exceptId=${idOf(last)}`, payload })
      assertDone(t, await app.inject({ ...attack, headers: { ...attack.headers, ...userId } }))
      for (const token of [first, last]) {
        assertEnded(t, { answer: await get(app, token), handlerRuns: 0, storeCalls: [] }, 'revoked')
      }
      for (const token of [current, bystander]) t.equal(await statusOf(token), 200)
      assertDone(t, await remove(app, current))
      t.equal((await get(app, current)).json().length, 1, 'a second DELETE ends no further session')
    })

    t.test('DELETE with an id ends only the session with the id', async (t) => {
      const [one, two, current] = [await logIn(app, 'eve'), await logIn(app, 'eve'), await logIn(app, 'eve')]
      assertDone(t, await remove(app, current, `${PATH}/${idOf(one)}`))
      assertEnded(t, { answer: await get(app, one), handlerRuns: 0, storeCalls: [] }, 'revoked')
      t.strictSame(
        (await get(app, current)).json().map(({ id }: Session) => id),
        [idOf(two), idOf(current)]
      )
      t.equal((await remove(app, current, `${PATH}/${idOf(one)}`)).body, NOT_FOUND, 'a second DELETE is 404')
    })

    t.test('DELETE ends also the session of the request, and the next request gets the reason', async (t) => {
      const token = await logIn(app, 'flo')
      assertDone(t, await remove(app, token, `${PATH}/${idOf(token)}`))
      assertEnded(t, { answer: await get(app, token), handlerRuns: 0, storeCalls: [] }, 'revoked')
    })

    t.test('DELETE gives the same bytes for a session of another user as for an unknown id', async (t) => {
      const [mine, theirs, ended] = [await logIn(app, 'gus'), await logIn(app, 'hal'), await logIn(app, 'hal')]
      await app.inject(logout(ended))
      const answers = []
      for (const id of [createSessionId('gus'), createSessionId('hal'), idOf(theirs), idOf(ended)]) {
        answers.push(await remove(app, mine, `${PATH}/${id}`))
      }
      for (const answer of answers) {
        assertRefused(t, answer, { statusCode: 404, code: 'FST_JWT_SESSION_NOT_FOUND' })
        t.equal(answer.body, NOT_FOUND)
      }
      t.equal(new Set(answers.map(bytesOf)).size, 1)
      t.equal(await statusOf(theirs), 200)
    })

    t.test('DELETE ends no session for an id that is malformed, or forged from two ids', async (t) => {
      const [mine, other, theirs] = [await logIn(app, 'ivy'), await logIn(app, 'ivy'), await logIn(app, 'joe')]
      const [own, foreign] = [idOf(mine), idOf(theirs)]
      const forged = [own.slice(0, 16) + foreign.slice(16), foreign.slice(0, 16) + own.slice(16)]
      const encoded = ['%00', '%2F', '%2f..%2f', '%0d%0aDEL', '%20', '*', '%3F', `${foreign}%00`, `${foreign}%2F`]
      const notFound = bytesOf(await remove(app, mine, `${PATH}/${createSessionId('ivy')}`))
      const names = ['__proto__', 'constructor', 'toString', 'null', 'undefined', 'joe', 'all', '0', '%5B%5D', '%7B%7D']
      for (const id of [...forged, ...encoded, ...names, own.slice(0, -1), `${own}x`, 'x'.repeat(99), '%F0%9F%98%80']) {
        t.equal(bytesOf(await remove(app, mine, `${PATH}/${id}`)), notFound, id)
      }
      // Fastify refuses invalid URLs and overlong parameters before the route is looked up.
      for (const id of [
        '',
        '%',
        '%FF',
        'x'.repeat(10_000),
        `${foreign}/`,
        `${foreign}/x`,
        `/${foreign}`,
        `../${foreign}`
      ]) {
        const answer = await remove(app, mine, `${PATH}/${id}`)
        t.match(String(answer.statusCode), /^4(?!01)/)
        t.notOk(answer.headers['clear-site-data'] ?? answer.headers['session-ended'])
      }
      for (const token of [mine, other, theirs]) t.equal(await statusOf(token), 200)
    })

    t.test('the routes require a live session', async (t) => {
      const [token, bystander] = [await logIn(app, 'kim'), await logIn(app, 'kim')]
      await app.inject(logout(token))
      for (const [method, url] of requestsFor(idOf(bystander))) {
        const missing = await app.inject({ method, url })
        assertRefused(t, missing, { statusCode: 401, code: 'FST_JWT_SESSION_MISSING' })
        const ended = await app.inject(withToken(token, { method, url }))
        assertEnded(t, { answer: ended, handlerRuns: 0, storeCalls: [] }, 'logged_out')
        const forged = await app.inject(withToken(bystander.slice(0, -1), { method, url }))
        assertEnded(t, { answer: forged, handlerRuns: 0, storeCalls: [] }, 'invalid_token')
      }
      t.equal(await statusOf(bystander), 200)
    })
  })
}

function requestsFor(id: string) {
  return [
    ['GET', PATH],
    ['DELETE', PATH],
    ['DELETE', `${PATH}/${id}`]
  ] as const
}

t.test('a failure of the store at any step is 503 without the clear signal, and no session ends', async (t) => {
  const memory = createMemoryStore()
  const down = new Set<keyof SessionStore>()
  const failing = Object.entries(memory).map(([name, method]) => [
    name,
    (...args: unknown[]) =>
      down.has(name as keyof SessionStore)
        ? Promise.reject(new Error('redis://secret'))
        : (method as (...args: unknown[]) => unknown)(...args)
  ])
  const app = await createRoutedApp(t, { store: Object.fromEntries(failing) })
  const [token, other] = [await logIn(app), await logIn(app)]
  const steps = [
    ['find', ...requestsFor(idOf(other))],
    ['list', ['GET', PATH]],
    ['endAll', ['DELETE', PATH]],
    ['end', ['DELETE', `${PATH}/${idOf(other)}`]]
  ] as const
  for (const [step, ...requests] of steps) {
    for (const [method, url] of requests) {
      down.add(step)
      const answer = await app.inject(withToken(token, { method, url }))
      down.clear()
      assertRefused(t, answer, { statusCode: 503, code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' }, ['secret'])
      t.equal(answer.headers['retry-after'], '1')
      t.equal((await app.sessions.list('ada')).length, 2)
    }
  }
})

t.test('the routes of sessions exist only with `routes.sessions`, at the path of the option', async (t) => {
  for (const routes of [undefined, {}, { sessions: undefined }, { sessions: false as const }]) {
    const app = await createApp(t, { upstream, routes })
    const token = await logIn(app)
    for (const [method, url] of requestsFor(idOf(token))) {
      t.match((await app.inject(withToken(token, { method, url }))).json(), { statusCode: 404, message: /^Route / })
    }
    t.equal((await get(app, token, '/me')).statusCode, 200)
  }
  for (const options of [
    { routes: { prefix: '/auth', sessions: { path: '/my/devices' } } },
    { prefix: '/auth', routes: { sessions: { path: '/my/devices' } } }
  ]) {
    const app = await createApp(t, { upstream, ...options })
    const [{ token, session }, other] = [
      await app.sessions.create({ id: 'ada' }),
      await app.sessions.create({ id: 'ada' })
    ]
    t.equal((await get(app, token)).statusCode, 404)
    t.equal((await get(app, token, '/auth/my/devices')).json().length, 2)
    assertDone(t, await remove(app, token, `/auth/my/devices/${other.session.id}`))
    assertDone(t, await remove(app, token, '/auth/my/devices'))
    t.strictSame(await app.sessions.list('ada'), [session])
  }
})
