import { AssertionError } from 'node:assert'
import { inspect } from 'node:util'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { createMemoryStore, fastifyJwtSession, type JwtSessionOptions, verifySession } from '../../lib/index.js'
import { assertEnded, assertUnavailable, createFaultyStore, loginAs } from '../../lib/testing/index.js'
import { SECRET } from '../fixtures/app.js'
import { upstream } from '../fixtures/tokens.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const REASONS = ['logged_out', 'revoked', 'replaced', 'logged_in_again', 'expired', 'unknown', 'invalid_token'] as const

interface Scene {
  app: FastifyInstance
  url: string
  store: ReturnType<typeof createFaultyStore>
}

async function createScene(t: Test, options: Partial<JwtSessionOptions> = {}): Promise<Scene> {
  const store = createFaultyStore(createMemoryStore())
  const app = createWatchedFastify(t)
  app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, store, ...options })
  app.register(async (scope) => {
    scope.get('/me', { preHandler: verifySession }, async () => ({ secret: 'of the body' }))
  })
  return { app, store, url: await app.listen({ host: '127.0.0.1', port: 0 }) }
}

t.test('the answer to an ended session passes for its reason, from any client', async (t) => {
  const { app, url } = await createScene(t)
  for (const reason of REASONS) {
    const { headers, inject, end } = await loginAs(app, { id: 'ada' })
    await end(reason)
    assertEnded(await inject('/me'), reason)
    const response = await fetch(`${url}/me`, { headers })
    await assertEnded(response, reason)
    t.equal(((await response.json()) as { reason: string }).reason, reason, 'the body can still be read')
    await assertEnded(await request(`${url}/me`, { headers }), reason)
  }
})

t.test('the answer to an outage passes, from any client', async (t) => {
  const { app, url, store } = await createScene(t)
  const { headers, inject } = await loginAs(app, { id: 'ada' })
  store.fail('ECONNREFUSED')
  assertUnavailable(await inject('/me'))
  await assertUnavailable(await fetch(`${url}/me`, { headers }))
  await assertUnavailable(await request(`${url}/me`, { headers }))
})

const ended = {
  statusCode: 401,
  headers: {
    'session-ended': 'revoked',
    'clear-site-data': '"storage"',
    'www-authenticate': 'Bearer realm="session", error="invalid_token"'
  },
  body: '{"code":"FST_JWT_SESSION_ENDED","reason":"revoked","token":"a token"}'
}
const unavailable = {
  statusCode: 503,
  headers: { 'retry-after': '1' },
  body: '{"code":"FST_JWT_SESSION_STORE_UNAVAILABLE"}'
}

function without<T extends object>(object: T, name: string): object {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== name))
}

/** The message of the assertion. */
function messageOf(assertion: () => void): string {
  try {
    assertion()
  } catch (error) {
    if (error instanceof AssertionError) return error.message
    throw error
  }
  return ''
}

t.test('each part of the answer to an ended session is checked, and a failure says what was there', async (t) => {
  assertEnded(ended, 'revoked')
  const header = (name: string, value: string) => ({ ...ended, headers: { ...ended.headers, [name]: value } })
  const cases: [response: typeof ended | object, line: string][] = [
    [{ ...ended, statusCode: 200 }, '- status: got 200, expected 401'],
    [{ ...ended, body: '{"reason":"revoked"}' }, '- code: got none, expected FST_JWT_SESSION_ENDED'],
    [{ ...ended, body: ended.body.replace('revoked', 'expired') }, '- reason: got expired, expected revoked'],
    [header('session-ended', 'expired'), '- session-ended: got expired, expected revoked'],
    [{ ...ended, headers: without(ended.headers, 'session-ended') }, '- session-ended: got none, expected revoked'],
    [
      { ...ended, headers: without(ended.headers, 'clear-site-data') },
      '- clear-site-data: got none, expected a value like /^"/'
    ],
    [
      { ...ended, headers: without(ended.headers, 'www-authenticate') },
      '- www-authenticate: got none, expected Bearer realm="session", error="invalid_token"'
    ]
  ]
  for (const [response, line] of cases) {
    const message = messageOf(() => assertEnded(response as typeof ended, 'revoked'))
    t.equal(message, `Expected the response of a session that has ended (revoked):\n${line}`)
  }
  for (const body of ['', 'not JSON', '[]', '"text"', '{"code":1,"reason":{}}']) {
    const message = messageOf(() => assertEnded({ ...ended, body }, 'revoked'))
    t.match(message, '- code: got none, expected FST_JWT_SESSION_ENDED\n- reason: got none, expected revoked', body)
  }
})

t.test('a response to a login in the same browser must not have the clear signal', async (t) => {
  const again = { ...ended, body: ended.body.replace('revoked', 'logged_in_again') }
  const message = messageOf(() => assertEnded(again, 'logged_in_again'))
  t.match(message, '- session-ended: got revoked, expected none\n- clear-site-data: got "storage", expected none')
})

t.test('a response may be without Clear-Site-Data only where a test says so', async (t) => {
  const bare = { ...ended, headers: without(ended.headers, 'clear-site-data') }
  assertEnded(bare, 'revoked', { clearSiteData: false })
  t.match(
    messageOf(() => assertEnded(ended, 'revoked', { clearSiteData: false })),
    'got "storage", expected none'
  )
  const { app, url } = await createScene(t, { clearSiteData: false })
  const { headers, inject, end } = await loginAs(app, { id: 'ada' })
  await end('revoked')
  assertEnded(await inject('/me'), 'revoked', { clearSiteData: false })
  await assertEnded(await fetch(`${url}/me`, { headers }), 'revoked', { clearSiteData: false })
})

t.test('a wrong option of an assertion is named', async (t) => {
  for (const [option, options] of [
    ['options', null],
    ['options.clearsitedata', { clearsitedata: false }]
  ] as const) {
    t.throws(() => assertEnded(ended, 'revoked', options as never), { code: 'FST_JWT_SESSION_INVALID_OPTION', option })
  }
})

t.test('each part of the answer to an outage is checked, and a failure says what was there', async (t) => {
  assertUnavailable(unavailable)
  const cases: [response: object, line: string][] = [
    [{ ...unavailable, statusCode: 500 }, '- status: got 500, expected 503'],
    [
      { ...unavailable, body: '{"code":"FST_JWT_SESSION_UPSTREAM_UNAVAILABLE"}' },
      '- code: got FST_JWT_SESSION_UPSTREAM_UNAVAILABLE, expected FST_JWT_SESSION_STORE_UNAVAILABLE'
    ],
    [{ ...unavailable, headers: {} }, '- retry-after: got none, expected a value like /^[1-9]\\d*$/'],
    [
      { ...unavailable, headers: { 'retry-after': '1', 'session-ended': 'unknown' } },
      '- session-ended: got unknown, expected none'
    ],
    [
      { ...unavailable, headers: { 'retry-after': '1', 'clear-site-data': '"storage"' } },
      '- clear-site-data: got "storage", expected none'
    ]
  ]
  for (const [response, line] of cases) {
    const message = messageOf(() => assertUnavailable(response as typeof unavailable))
    t.equal(message, `Expected the response while the store is unavailable:\n${line}`)
  }
})

t.test('a failure has what a runner shows, and nothing else of the body', async (t) => {
  try {
    assertUnavailable(ended)
    t.fail('it has passed')
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error
    t.match(error, { operator: 'assertUnavailable', code: 'ERR_ASSERTION' })
    t.match(error.actual, { status: 401, code: 'FST_JWT_SESSION_ENDED', 'clear-site-data': '"storage"' })
    t.match(error.expected, { status: '503', 'clear-site-data': 'none' })
    t.match(error.stack, /^(?:(?!at assertUnavailable).)*assertions\.test/s, 'the stack begins in the test')
    t.notMatch(inspect(error), 'a token')
  }
})

t.test('over the network a failure is a rejection', async (t) => {
  const { app, url } = await createScene(t)
  const { headers } = await loginAs(app, { id: 'ada' })
  await t.rejects(assertEnded(await fetch(`${url}/me`, { headers }), 'revoked'), { message: /- status: got 200/ })
  await t.rejects(assertUnavailable(await fetch(`${url}/me`)), { message: /- status: got 401/ })
  await t.rejects(assertUnavailable(await request(`${url}/me`)), { message: /- status: got 401/ })

  const before = 'The body of the response was read before: assert first, or read a clone()'
  const fetched = await fetch(`${url}/me`)
  await fetched.text()
  await t.rejects(assertUnavailable(fetched), { name: 'AssertionError', message: before })
  const requested = await request(`${url}/me`)
  await requested.body.text()
  await t.rejects(assertUnavailable(requested), { name: 'AssertionError', message: before })
})

t.test('what is no response is named', async (t) => {
  for (const value of [undefined, null, 'text', 401, {}, { statusCode: 401, headers: {} }, { clone: 1 }]) {
    const response: unknown = value
    await t.rejects(assertUnavailable(response as Response), { name: 'AssertionError', message: /app\.inject\(\)/ })
  }
  const forgotten: unknown = Promise.resolve(ended)
  await t.rejects(assertEnded(forgotten as Response, 'revoked'), { message: /app\.inject\(\)/ }, 'a forgotten await')
})
