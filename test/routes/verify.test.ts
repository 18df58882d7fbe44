import fastifySwagger from '@fastify/swagger'
import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStore, type JwtSessionOptions, verifySession } from '../../lib/index.js'
import { createApp, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createFaults } from '../fixtures/faults.js'
import { createHost } from '../fixtures/host.js'
import { listen } from '../fixtures/listen.js'
import { createLog } from '../fixtures/log.js'
import { freezeClock, NOW } from '../fixtures/tokens.js'

const url = '/user/verify'
const routes = { verify: {} }

/** Everything of an answer but the time. */
function partsOf({ statusCode, headers: { date, ...headers }, body }: LightMyRequestResponse) {
  return { statusCode, headers, body }
}

async function createVerifier(t: Test, options: Partial<JwtSessionOptions> = {}) {
  const app = await createApp(t, { routes, ...options })
  const { token, session } = await app.sessions.create({ id: 'ada' })
  const verify = (query = '') => app.inject(withToken(token, { url: `${url}${query}` }))
  return { app, token, session, verify }
}

t.test('a live session is 204 with the id of the user, for every method, and without a body', async (t) => {
  const { app, token } = await createVerifier(t)
  const faults = createFaults()
  for (const method of app.supportedMethods) {
    const hasBody = !['GET', 'HEAD', 'TRACE'].includes(method)
    const answer = await app.inject({
      ...withToken(token, { url }),
      method: method as 'GET',
      ...(hasBody && { payload: '{"broken', headers: { 'content-type': 'no/t;ype', authorization: `Bearer ${token}` } })
    })
    faults.compare(method, partsOf(answer), {
      statusCode: 204,
      headers: {
        'session-user': 'ada',
        'cache-control': 'no-store',
        connection: hasBody ? 'close' : 'keep-alive'
      },
      body: ''
    })
  }
  faults.assertNone(t)
})

t.test('a method that the host adds later is not there', async (t) => {
  const app = await createApp(t, { routes }, {}, (app) => app.addHttpMethod('PROPFIND'))
  t.equal((await app.inject({ method: 'PROPFIND' as 'GET', url })).statusCode, 404)
})

t.test('the id of the user is percent-encoded UTF-8, whatever the id is', async (t) => {
  const app = await createApp(t, { routes })
  const ids = ['ada', 'Ädä', 'a b', '\r\nsession-user: root', '日本', '👩‍🔬', '%41', "!'()*", '\0', '￿'.repeat(256)]
  const faults = createFaults()
  for (const id of ids) {
    const { token } = await app.sessions.create({ id })
    const { statusCode, headers } = await app.inject(withToken(token, { url }))
    const value = String(headers['session-user'])
    faults.compare(id, [statusCode, decodeURIComponent(value)], [204, id])
    faults.note(id, /^[\w!'()*.~%-]+$/.test(value) ? [] : [value])
  }
  faults.assertNone(t)
  await t.rejects(app.sessions.create({ id: '\ud800' }), { code: 'FST_JWT_SESSION_INVALID_USER' }, 'a lone surrogate')
})

t.test('every refusal has the same bytes as the refusal of the guard', async (t) => {
  const clock = freezeClock(t)
  let isDown = false
  const memory = createMemoryStore()
  t.teardown(() => memory.close())
  const store = {
    ...memory,
    find: async (id: string) => (isDown ? Promise.reject(new Error('down')) : memory.find(id))
  }
  const app = await createApp(t, { routes, store })
  const open = async () => app.sessions.create({ id: 'ada' })
  const live = await open()
  const revoked = await open()
  await app.sessions.revoke(revoked.session.id)
  const expired = await open()
  clock.now = NOW + 1_800
  await app.inject(withToken(live.token))

  const faults = createFaults()
  const compare = async (name: string, headers: Record<string, string>, code: string) => {
    const [mine, guards] = [await app.inject({ url, headers }), await app.inject({ url: '/me', headers })]
    faults.compare(name, partsOf(mine), partsOf(guards))
    faults.compare(`${name}: code`, mine.json().code, code)
  }
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  await compare('no credentials', {}, 'FST_JWT_SESSION_MISSING')
  await compare('another scheme', { authorization: 'Basic YTpi' }, 'FST_JWT_SESSION_MISSING')
  await compare('garbage', bearer('garbage'), 'FST_JWT_SESSION_ENDED')
  await compare('revoked', bearer(revoked.token), 'FST_JWT_SESSION_ENDED')
  await compare('idle', bearer(expired.token), 'FST_JWT_SESSION_ENDED')
  const page = { origin: 'https://elsewhere.example', 'session-client': '1' }
  await compare('a page with the client', { ...bearer(revoked.token), ...page }, 'FST_JWT_SESSION_ENDED')
  isDown = true
  const { token } = await open()
  await compare('the store is down', bearer(token), 'FST_JWT_SESSION_STORE_UNAVAILABLE')
  faults.assertNone(t)
})

t.test('the query has the settings of a route', async (t) => {
  const clock = freezeClock(t)
  const { app, verify } = await createVerifier(t)
  clock.now = NOW + 300
  t.equal((await verify('?fresh_seconds=300')).statusCode, 204)
  clock.now = NOW + 301
  const stale = await verify('?fresh_seconds=300&slide=false')
  assertRefused(t, stale, { statusCode: 401, code: 'FST_JWT_SESSION_NOT_FRESH' })
  t.match(stale.headers['www-authenticate'], 'max_age="300"')
  t.equal((await verify('?optional=true')).headers['session-user'], 'ada')

  const anonymous = await app.inject(`${url}?optional=true`)
  t.equal(anonymous.statusCode, 204)
  t.notOk('session-user' in anonymous.headers)
  t.equal((await app.inject(`${url}?optional=false`)).statusCode, 401)
  const bad = await app.inject(withToken('garbage', { url: `${url}?optional=true` }))
  t.equal(bad.headers['session-ended'], 'invalid_token', 'bad credentials are refused')
})

t.test('a request extends the session, unless the query has slide=false', async (t) => {
  const clock = freezeClock(t)
  const { app, session, verify } = await createVerifier(t)
  const lastSeenAt = async () => (await app.sessions.find(session.id))?.lastSeenAt
  clock.now = NOW + 1_000
  t.equal((await verify('?slide=false')).statusCode, 204)
  t.equal(await lastSeenAt(), NOW * 1_000)
  t.equal((await verify()).statusCode, 204)
  await t.resolves(async () => {
    while ((await lastSeenAt()) !== clock.now * 1_000) await new Promise(setImmediate)
  })
})

t.test('a wrong query is 400, names the field, and is logged as an error', async (t) => {
  const { lines, logger } = createLog()
  const app = await createApp(t, { routes }, { logger })
  const { token } = await app.sessions.create({ id: 'ada' })
  const faults = createFaults()
  const queries: [query: string, name: RegExp][] = [
    ['freshSeconds=300', /no other field/],
    ['hunter2=1', /no other field/],
    ['fresh_seconds=300&hunter2', /no other field/],
    ['__proto__=1', /no other field/],
    ['FRESH_SECONDS=300', /no other field/],
    ...['', '0', '-1', '+1', '1.5', '1e3', '0x10', '01', ' 1', '2147483648', '99999999999', 'hunter2', '300s'].map(
      (value): [string, RegExp] => [`fresh_seconds=${encodeURIComponent(value)}`, /`fresh_seconds` once/]
    ),
    ['fresh_seconds=300&fresh_seconds=300', /`fresh_seconds` once/],
    ...['', '0', '1', 'no', 'False', 'hunter2'].flatMap((value): [string, RegExp][] => [
      [`slide=${value}`, /`slide` once/],
      [`optional=${value}`, /`optional` once/]
    ]),
    ['slide=true&slide=false', /`slide` once/],
    ['optional=false&optional=true', /`optional` once/],
    ['slide', /`slide` once/]
  ]
  for (const [query, message] of queries) {
    for (const request of [{ url: `${url}?${query}` }, withToken(token, { url: `${url}?${query}` })]) {
      lines.length = 0
      const answer = await app.inject(request)
      const { statusCode, code, message: text } = answer.json()
      faults.compare(query, [answer.statusCode, statusCode, code], [400, 400, 'FST_JWT_SESSION_INVALID_QUERY'])
      const logged = lines.map((line) => JSON.parse(line)).find((line) => line.code === code)
      faults.compare(query, [logged?.level, logged?.msg], [50, text])
      faults.note(query, message.test(text) && !text.includes('hunter2') ? [] : [text])
      faults.note(query, 'session-ended' in answer.headers || 'session-user' in answer.headers ? ['headers'] : [])
    }
  }
  for (const query of ['', 'fresh_seconds=1', 'fresh_seconds=2147483647', 'slide=true&optional=false']) {
    const answer = await app.inject(withToken(token, { url: `${url}?${query}` }))
    faults.compare(query, answer.statusCode, 204)
  }
  faults.assertNone(t)
})

t.test('a field that the client has in its own query is refused: the proxy may have copied the query', async (t) => {
  const app = await createApp(t, { routes })
  const send = (query: string, headers: Record<string, string>) => app.inject({ url: `${url}?${query}`, headers })
  const faults = createFaults()
  for (const name of ['x-forwarded-uri', 'x-original-uri', 'x-original-url']) {
    for (const uri of [
      '/a?optional=true',
      '/a?x=1&optional=true',
      '/a?optional',
      '/a?%6fptional=false',
      '/a?b?&optional=1'
    ]) {
      const answer = await send('optional=true', { [name]: uri })
      faults.compare(uri, [answer.statusCode, answer.json().code], [400, 'FST_JWT_SESSION_INVALID_QUERY'])
    }
    for (const uri of ['/a', '/a?x=1', '/optional=true', '/a?notoptional=true', '']) {
      faults.compare(uri, (await send('optional=true', { [name]: uri })).statusCode, 204)
      faults.compare(`${uri}: no query`, (await send('', { [name]: uri })).statusCode, 401)
    }
  }
  faults.compare('no setting', (await send('', { 'x-forwarded-uri': '/a?optional=true' })).statusCode, 401)
  faults.assertNone(t)
})

t.test('a query parser of the host changes no rule', async (t) => {
  const parsers: Record<string, (text: string) => Record<string, unknown>> = {
    'a list for every field': (text) => Object.fromEntries([...new URLSearchParams(text)].map(([k, v]) => [k, [v]])),
    numbers: () => ({ fresh_seconds: 300 }),
    booleans: () => ({ optional: true })
  }
  for (const [name, querystringParser] of Object.entries(parsers)) {
    const app = await createApp(t, { routes }, { routerOptions: { querystringParser } })
    t.equal((await app.inject(`${url}?optional=true`)).statusCode, 400, name)
  }
})

t.test('the guard of the whole app leaves this route to its query', async (t) => {
  const { app } = await createHost(t, {
    before: (app) => app.addHook('onRequest', verifySession),
    options: { routes }
  })
  const { token } = await app.sessions.create({ id: 'ada' })
  t.equal((await app.inject(`${url}?optional=true`)).statusCode, 204)
  t.equal((await app.inject(url)).statusCode, 401)
  t.equal((await app.inject(withToken(token, { url }))).headers['session-user'], 'ada')
})

t.test('there is no such route by default', async (t) => {
  for (const routes of [{}, { verify: undefined }, { verify: false as const }]) {
    const app = await createApp(t, { routes })
    t.equal((await app.inject(url)).statusCode, 404)
  }
  const app = await createApp(t, { routes: { prefix: '/auth', verify: { path: '/check' } } })
  t.equal((await app.inject('/auth/check')).statusCode, 401)
})

t.test('the config of the route is for other plugins', async (t) => {
  const configs: unknown[] = []
  await createHost(t, {
    before: (app) =>
      app.addHook('onRoute', (route) => {
        if (route.url === url) configs.push(route.config)
      }),
    options: { routes: { verify: { config: { ofAnotherPlugin: 5 } } } }
  })
  t.match(configs[0], { ofAnotherPlugin: 5, session: false })
})

t.test('a connection is closed after a request that announces a body, whether or not the body comes', async (t) => {
  const { app, token } = await createVerifier(t)
  const { dial } = await listen(t, app)
  const announced = ['Content-Length: 300', 'Transfer-Encoding: chunked']
  for (const authorization of [`Bearer ${token}`, 'Bearer garbage', '']) {
    for (const header of announced) {
      const { socket, received, closed } = dial()
      socket.write(`GET ${url} HTTP/1.1\r\nHost: a\r\n${header}\r\nAuthorization: ${authorization}\r\n\r\n`)
      // As the body: a chunk with no length would be a bad request before the answer.
      if (header === announced[0]) socket.write(`GET ${url} HTTP/1.1\r\nHost: a\r\n\r\n`)
      await closed
      t.match(received(), /connection: close/i)
      t.equal(received().match(/HTTP\/1\.1 /g)?.length, 1, 'the next request was not taken for a body')
    }
  }
  const { socket, received } = dial()
  socket.write(`GET ${url} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  await t.resolves(async () => {
    while (!received().includes('\r\n\r\n')) await new Promise(setImmediate)
  })
  t.match(received(), /connection: keep-alive/i, 'without a body the connection stays open')
})

t.test('@fastify/swagger documents the route once', async (t) => {
  const { app } = await createHost(t, {
    before: (app) => app.register(fastifySwagger, { openapi: {} }),
    options: { routes: { verify: {}, security: [] }, cookie: {} }
  })
  const { paths } = JSON.parse(JSON.stringify(app.swagger()))
  t.strictSame(Object.keys(paths[url]), ['get'])
  const { summary, parameters, responses } = paths[url].get
  t.ok(summary)
  t.strictSame(
    parameters.map(({ name, in: place, required }: Record<string, unknown>) => [name, place, required]),
    ['fresh_seconds', 'slide', 'optional'].map((name) => [name, 'query', false])
  )
  t.strictSame(Object.keys(responses), ['204', '400', '401', '403', '503'])
})
