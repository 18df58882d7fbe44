import Fastify from 'fastify'
import t, { type Test } from 'tap'
import {
  CredentialsRejectedError,
  fastifyJwtSession,
  type HttpUpstreamOptions,
  RegistrationRejectedError
} from '../../lib/index.js'
import { createApp, logIn, logout, SECRET } from '../fixtures/app.js'
import { assertOptionRefused, BASE_URL, registerError } from '../fixtures/assert-option-refused.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { startRawUpstream } from '../fixtures/raw-upstream.js'
import { startUpstream } from '../fixtures/upstream.js'

const INVALID = { statusCode: 502, code: 'FST_JWT_SESSION_UPSTREAM_INVALID' }
const NO_OPTION = 'FST_JWT_SESSION_INVALID_OPTION'

async function start(t: Test, options: Partial<HttpUpstreamOptions>) {
  const { baseUrl, requests } = await startUpstream(t)
  return { requests, app: await createApp(t, { upstream: { baseUrl, logoutPath: '/user/logout', ...options } }) }
}

t.test('fixed headers are sent with every call', async (t) => {
  const headers = {
    Authorization: 'Bearer an-api-key',
    'x-api-key': 'a key, with spaces',
    Accept: 'application/vnd.a+json'
  }
  const { app, requests } = await start(t, { headers })
  const token = await logIn(app)
  await app.inject(postJson('/user/register', CREDENTIALS, { authorization: 'Bearer of-the-client', 'x-api-key': 'x' }))
  await app.inject(logout(token))
  t.equal(requests.length, 3)
  for (const { headers } of requests) {
    t.match(headers, {
      authorization: 'Bearer an-api-key',
      'x-api-key': 'a key, with spaces',
      accept: 'application/vnd.a+json',
      'content-type': 'application/json',
      'accept-encoding': 'identity'
    })
  }
})

t.test('every call has a user agent: the fixed header, the client’s header or the plugin’s name', async (t) => {
  const agentOf = async (options: Partial<HttpUpstreamOptions>, client: string | undefined) => {
    const { app, requests } = await start(t, options)
    await app.inject(postJson('/user/login', CREDENTIALS, { 'user-agent': client as string }))
    return requests[0]?.headers['user-agent']
  }
  t.equal(await agentOf({}, 'a browser'), 'fastify-jwt-session')
  t.equal(await agentOf({ headers: { 'User-Agent': 'shop/1.0' } }, 'a browser'), 'shop/1.0')
  t.equal(await agentOf({ forwardHeaders: ['User-Agent'] }, 'a browser'), 'a browser')
  t.equal(await agentOf({ forwardHeaders: ['user-agent'] }, ''), 'fastify-jwt-session')
})

t.test('forwardClientIp sends the address of the client, and no header of the client', async (t) => {
  const { baseUrl, requests } = await startUpstream(t)
  const forwarded = { 'x-forwarded-for': '6.6.6.6', x_forwarded_for: '6.6.6.6' }
  const addressOf = async (forwardClientIp: boolean, remoteAddress: string, trustProxy = false, sent = forwarded) => {
    const app = Fastify({ trustProxy })
    t.teardown(() => app.close())
    await app.register(fastifyJwtSession, {
      jwt: { secret: SECRET },
      upstream: { baseUrl, forwardClientIp, logoutPath: '/user/logout' }
    })
    requests.length = 0
    const token = await logIn(app)
    requests.length = 0
    await app.inject({ ...postJson('/user/login', CREDENTIALS, sent), remoteAddress })
    await app.inject({ ...logout(token), remoteAddress })
    const addresses = requests.map(({ headers }) => headers['x-forwarded-for'])
    t.equal(new Set(addresses).size, trustProxy ? 2 : 1)
    return addresses[0]
  }
  t.equal(await addressOf(false, '192.0.2.1'), undefined)
  t.equal(await addressOf(true, '192.0.2.1'), '192.0.2.1')
  t.equal(await addressOf(true, '::ffff:192.0.2.1'), '192.0.2.1')
  t.equal(await addressOf(true, '::FFFF:192.0.2.1'), '192.0.2.1')
  t.equal(await addressOf(true, '2001:db8::1'), '2001:db8::1')
  t.equal(await addressOf(true, '::ffff:c000:201'), '::ffff:c000:201', 'other spellings are sent unchanged')
  t.equal(await addressOf(true, '192.0.2.1', true), '6.6.6.6', 'request.ip may come from a trusted proxy')
  const text = { 'x-forwarded-for': 'evil, text', x_forwarded_for: 'evil' }
  t.equal(await addressOf(true, '192.0.2.1', true, text), undefined, 'an invalid address is not sent')
})

t.test('mapCredentials and mapRegistration make the body: JSON or a form', async (t) => {
  const maps: [map: (body: { username: string; password: string }) => object, type: string, sent: string][] = [
    [({ username, password }) => ({ email: username, secret: password }), 'json', '{"email":"ada","secret":"ä&b"}'],
    [
      ({ username, password }) => new URLSearchParams({ grant_type: 'password', username, password }),
      'x-www-form-urlencoded',
      'grant_type=password&username=ada&password=%C3%A4%26b'
    ],
    [async ({ username }) => ({ username }), 'json', '{"username":"ada"}'],
    [() => Object.create(null), 'json', '{}']
  ]
  const body = { username: 'ada', password: 'ä&b' }
  for (const [map, type, sent] of maps) {
    const upstream = await startRawUpstream(t)
    const options = { baseUrl: upstream.baseUrl, mapCredentials: map, mapRegistration: map }
    const app = await createApp(t, { upstream: options })
    for (const route of ['login', 'register']) {
      upstream.answers.push('HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n')
      await app.inject(postJson(`/user/${route}`, body))
      const request = upstream.requests.at(-1)
      t.equal(request?.body.toString(), sent)
      t.ok(request?.headers.includes(`content-type: application/${type}`))
      t.ok(request?.headers.includes('accept: application/json'))
    }
  }
})

t.test('a mapping cannot change the body that other code of the host sees', async (t) => {
  const { baseUrl, requests } = await startUpstream(t)
  const app = Fastify()
  t.teardown(() => app.close())
  const seen: unknown[] = []
  app.addHook('onResponse', async ({ body }) => void seen.push(body))
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream: {
      baseUrl,
      mapCredentials(body) {
        body.username = 'eve'
        delete body.password
        return body
      }
    }
  })
  await app.inject(postJson('/user/login', CREDENTIALS))
  t.equal(requests[0]?.body, '{"username":"eve"}')
  t.strictSame(seen, [CREDENTIALS])
})

t.test('a mapping that throws or returns no body is 502, and the upstream is not called', async (t) => {
  const secret = 'hunter2'
  const circular: Record<string, unknown> = {}
  circular.self = circular
  const values = [undefined, null, secret, 7, true, [], [secret], () => ({}), new Map(), new Date(), new FormData()]
  const wrong = [...values, Symbol(secret), 1n, circular, { n: 1n }, { toJSON: () => undefined }]
  const error = new Error(secret)
  const fails: [map: () => unknown, what: string][] = [
    ...wrong.map((value): [() => unknown, string] => [() => value, 'did not return']),
    [() => JSON.parse(secret), 'threw SyntaxError'],
    [async () => Promise.reject(error), 'threw Error']
  ]
  const upstream = await startRawUpstream(t)
  for (const [map, what] of fails) {
    const { lines, logger } = createLog()
    const [mapCredentials, mapRegistration] = [map, map] as (() => object)[]
    const options = { baseUrl: upstream.baseUrl, mapCredentials, mapRegistration }
    const app = await createApp(t, { upstream: options }, { logger })
    for (const route of ['login', 'register']) {
      assertRefused(t, await app.inject(postJson(`/user/${route}`, CREDENTIALS)), INVALID, [secret])
    }
    t.match(lines.join(''), `"cause":"login: \`mapCredentials\` ${what}`)
    t.match(lines.join(''), `"cause":"register: \`mapRegistration\` ${what}`)
    t.notMatch(lines.join(''), secret)
  }
  t.equal(upstream.requests.length, 0)
})

t.test('an UpstreamError of a mapping is answered unchanged, and the upstream is not called', async (t) => {
  const { app, requests } = await start(t, {
    mapCredentials() {
      throw new CredentialsRejectedError()
    },
    mapRegistration: () => new RegistrationRejectedError(422)
  })
  t.equal((await app.inject(postJson('/user/login', CREDENTIALS))).statusCode, 401)
  t.equal((await app.inject(postJson('/user/register', CREDENTIALS))).statusCode, 422)
  t.equal(requests.length, 0)
})

t.test('paths may have colons and a fixed query', async (t) => {
  const paths = [
    '/v1/accounts:signIn?key=a-key',
    '/v1/projects/p:x/y:z',
    '/in?a=b&c=d%20e&f=/g?h=',
    '/in/?key=abc+/==',
    '/a.b~c_d-e:f'
  ]
  for (const path of paths) {
    const upstream = await startRawUpstream(t)
    const options = { baseUrl: `${upstream.baseUrl}/base`, loginPath: path, registerPath: path, logoutPath: path }
    const app = await createApp(t, { upstream: options })
    await app.inject(postJson('/user/register', CREDENTIALS))
    const token = await logIn(app)
    upstream.answers.push('HTTP/1.1 204 No Content\r\n\r\n')
    await app.inject(logout(token))
    t.strictSame(
      upstream.requests.map(({ requestLine }) => requestLine),
      Array.from({ length: 3 }, () => `POST /base${path} HTTP/1.1`)
    )
  }
  const hostile = ['/a?', '/a?b', '/a?b=', '/a?=b', '/a?b=c#d', '/a?b=c d', '/a?b=c&', '/a?b=..', '/a?b=//c', '/a?b=%']
  const more = [
    '/a?b=%zz',
    '/a?b="c"',
    '/a?b=\u00e9',
    '/a?b=c\r\nx: y',
    '/a?b=c\n',
    '/a?b=<c>',
    '/a?b=\\',
    '?b=c',
    '/a?b={c}'
  ]
  const inPath = ['/:a', '/a/:b', '/a//b:c', '/a:../..', '/a%3Ab', '/a:b c', '/a:b#c', 'a:b', '/..:/../a']
  for (const option of ['upstream.loginPath', 'upstream.registerPath', 'upstream.logoutPath']) {
    await assertOptionRefused(t, option, [...hostile, ...more, ...inPath])
  }
  t.equal(await registerError({ baseUrl: `${BASE_URL}/v1:a/b` }), undefined)
})

const REFUSED = [
  ...['host', 'connection', 'content-length', 'content-type', 'content-encoding', 'content-anything'],
  ...['transfer-encoding', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-anything', 'accept-encoding', 'expect'],
  ...['keep-alive', 'te', 'trailer', 'upgrade', 'proxy-connection', 'http2-settings']
]

t.test('fixed headers of framing and proxies are refused, in any spelling', async (t) => {
  for (const header of REFUSED) {
    for (const name of new Set([header, header.toUpperCase(), header.replaceAll('-', '_'), header.replace('-', '_')])) {
      const error = await registerError({ baseUrl: BASE_URL, headers: { 'x-a': 'b', [name]: 'hunter2' } })
      t.match(error, { code: NO_OPTION, option: 'upstream.headers' }, name)
      t.notMatch(String(error), 'hunter2')
    }
  }
})

t.test('fixed headers must be header names with printable values', async (t) => {
  const values = ['', ' ', 'a ', ' a', 'a\r\nb: c', 'a\n', 'a\0', 'a\t', '\u00e9', '\u{1f511}', '\x7f', 7, true, null]
  const more = [undefined, {}, [], ['a'], Symbol('a'), () => 'a']
  const names = ['', ' ', 'x y', 'x:', 'x\r\ny', 'x\u00e9', '"x"', 'x/y']
  await assertOptionRefused(t, 'upstream.headers', [
    ...[...values, ...more].map((value) => ({ 'x-a': value })),
    ...names.map((name) => ({ [name]: 'a' })),
    ...[null, 'x-a: b', 7, true, [], [['x-a', 'b']], new Map([['x-a', 'b']]), new Headers({ 'x-a': 'b' }), () => ({})],
    { 'X-A': 'b', 'x-a': 'c' },
    { 'x-a': 'b', x_a: 'c' }
  ])
  t.equal(await registerError({ baseUrl: BASE_URL, headers: Object.freeze({ 'x-a': '!~ {}"' }) }), undefined)
  t.equal(await registerError({ baseUrl: BASE_URL, headers: {} }), undefined)
})

t.test('a header that is both fixed and forwarded fails the start', async (t) => {
  for (const [fixed, forwarded] of [
    ['x-a', 'x-a'],
    ['X-A', 'x-a'],
    ['x-a', 'X_A'],
    ['user-agent', 'User-Agent']
  ] as const) {
    const options = { baseUrl: BASE_URL, headers: { [fixed]: 'hunter2' }, forwardHeaders: ['x-b', forwarded] }
    const error = await registerError(options)
    t.match(error, { code: NO_OPTION, option: 'upstream.forwardHeaders' })
    t.match(String(error), '`upstream.headers`')
  }
  t.equal(await registerError({ baseUrl: BASE_URL, headers: { 'x-a': 'b' }, forwardHeaders: ['x-b'] }), undefined)
})

t.test('options that are not booleans or functions as required are refused', async (t) => {
  await assertOptionRefused(t, 'upstream.forwardClientIp', [null, 0, 1, 'true', {}])
  for (const name of ['mapCredentials', 'mapRegistration', 'mapError', 'selectData']) {
    await assertOptionRefused(t, `upstream.${name}`, [null, 'body', {}, [], true])
  }
})
