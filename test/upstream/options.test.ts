import t from 'tap'
import { assertOptionRefused, BASE_URL, registerError } from '../fixtures/assert-option-refused.js'

t.test('`upstream` must be HTTP options or an UpstreamClient, without unknown options', async (t) => {
  for (const upstream of [
    undefined,
    null,
    '',
    BASE_URL,
    7,
    [],
    new URL(BASE_URL),
    () => {},
    new Map(),
    { login: 'x' }
  ]) {
    t.match(
      await registerError(upstream),
      { code: 'FST_JWT_SESSION_INVALID_OPTION', option: /^upstream/ },
      String(upstream)
    )
  }
  for (const unknown of ['baseURL', 'timeout', 'header', 'retry', 'register']) {
    const expected = { code: 'FST_JWT_SESSION_INVALID_OPTION', option: `upstream.${unknown}` }
    t.match(await registerError({ baseUrl: BASE_URL, [unknown]: 'x' }), expected)
  }
  for (const baseUrl of [
    BASE_URL,
    'HTTP://LOCALHOST',
    'https://[::1]:8443',
    'https://a.example/',
    'https://a.example/B.c/~d/'
  ]) {
    t.equal(await registerError({ baseUrl }), undefined, baseUrl)
  }
  t.equal(await registerError(Object.freeze({ baseUrl: BASE_URL, forwardHeaders: Object.freeze([]) })), undefined)
})

t.test('baseUrl with credentials, a query or a hash is refused', async (t) => {
  const hostile = [
    'http://ada:hunter2@127.0.0.1',
    'http://ada@127.0.0.1',
    'http://:hunter2@127.0.0.1',
    'http://@127.0.0.1'
  ]
  const suffixes = ['?', '?a=b', '/?a', '#', '#hash', '/a?b#c', '/a@b', '/;a=b']
  await assertOptionRefused(t, 'upstream.baseUrl', [...hostile, ...suffixes.map((suffix) => BASE_URL + suffix)])
})

t.test('baseUrl must be a plain http or https URL', async (t) => {
  const schemes = ['ftp', 'file', 'ws', 'wss', 'data', 'javascript', 'unix', 'blob:http', 'http+unix', 'httpx']
  await assertOptionRefused(
    t,
    'upstream.baseUrl',
    schemes.map((scheme) => `${scheme}://127.0.0.1/x`)
  )
  await assertOptionRefused(t, 'upstream.baseUrl', [
    'file:///etc/passwd',
    'data:,x',
    '//127.0.0.1',
    '127.0.0.1:80',
    'localhost'
  ])
  await assertOptionRefused(t, 'upstream.baseUrl', [
    '',
    ' ',
    'http',
    'http:',
    'http://',
    'http://:80',
    'http://127.0.0.1:99999'
  ])
  await assertOptionRefused(t, 'upstream.baseUrl', [
    'http://127.0.0.1:x',
    'http://a b',
    'http://[::1',
    'http://%00/',
    'http://a<b>'
  ])
})

t.test('baseUrl must be a string', async (t) => {
  await assertOptionRefused(t, 'upstream.baseUrl', [
    null,
    7,
    true,
    {},
    [],
    [BASE_URL],
    new URL(BASE_URL),
    { href: BASE_URL }
  ])
  await assertOptionRefused(t, 'upstream.baseUrl', [{ toString: () => BASE_URL }, Object(BASE_URL), Symbol.iterator])
})

t.test('a baseUrl that the URL parser would repair is refused', async (t) => {
  await assertOptionRefused(t, 'upstream.baseUrl', [
    `${BASE_URL}\r\n`,
    `${BASE_URL}\n`,
    ` ${BASE_URL}`,
    `${BASE_URL} `,
    `\t${BASE_URL}`,
    'ht\ntp://127.0.0.1'
  ])
  await assertOptionRefused(t, 'upstream.baseUrl', [
    'http://127.0.0.1\r\n:80',
    'http://127.\t0.0.1',
    `${BASE_URL}/a\r\nb`,
    `${BASE_URL}/a b`
  ])
  await assertOptionRefused(t, 'upstream.baseUrl', [
    'http:127.0.0.1',
    'http:/127.0.0.1/evil',
    'http:///127.0.0.1/evil',
    'http:a//b/c'
  ])
  await assertOptionRefused(t, 'upstream.baseUrl', [
    'http:\\\\127.0.0.1',
    'http://127.0.0.1\\evil',
    '\0http://127.0.0.1'
  ])
})

const HOSTILE_PATHS = [
  ...['//evil', '//evil/x', '///', '/a//b', '/a/?', '/', '/..', '/../x', '/a/../b', '/a/..', '/.', '/./a', '/a/./b'],
  ...[
    '/%2e%2e/x',
    '/%2e',
    '/%2E%2e',
    '/a%2fb',
    '/a%00',
    '/%',
    '/a?',
    '/a?b',
    '/a?b=',
    '/a#b',
    '/a;b',
    '/:id',
    '/*',
    '/a*',
    '/(.*)'
  ],
  ...[
    '/a b',
    ' /a',
    '/a ',
    '/a\r\nx: y',
    '/a\n',
    '/a\r',
    '/a\t',
    '/a\0',
    '/\u00e9',
    '/\u2025',
    '/\uff0e\uff0e',
    '/a\\b',
    '\\a'
  ],
  ...['/a@b', '/@evil', '/{id}', '/<b>', '/"', "/'", '/a&b', '/a=b', '/a+b', '/a,b', '/$', '/!', '/[a]']
]

// A base URL may end with a slash, and a base path begins with a slash.
const hostileBasePaths = HOSTILE_PATHS.filter((path) => path.startsWith('/') && path !== '/')

t.test('an ambiguous path or base path is refused', async (t) => {
  await assertOptionRefused(
    t,
    'upstream.baseUrl',
    hostileBasePaths.map((path) => BASE_URL + path)
  )
  for (const option of ['upstream.loginPath', 'upstream.registerPath', 'upstream.logoutPath']) {
    await assertOptionRefused(t, option, HOSTILE_PATHS)
    const notPaths = ['', 'a', 'user/x', 'http://evil/x', 'file:///etc/passwd', './a', '../a', '?a', '#a']
    await assertOptionRefused(t, option, notPaths)
    await assertOptionRefused(t, option, [7, true, {}, [], ['/a'], { toString: () => '/a' }, Object('/a')])
  }
})

t.test('null is refused for every option of the upstream', async (t) => {
  const keys = ['baseUrl', 'loginPath', 'registerPath', 'logoutPath', 'forwardHeaders', 'selectUser', 'dispatcher']
  for (const key of [...keys, 'timeoutMs', 'maxResponseBytes']) await assertOptionRefused(t, `upstream.${key}`, [null])
})

t.test('a count that is not a positive integer is refused', async (t) => {
  const wrong = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, '300', '', true, {}, [300], 5n]
  for (const option of ['upstream.timeoutMs', 'upstream.maxResponseBytes']) await assertOptionRefused(t, option, wrong)
})

t.test('selectUser must be a function, and dispatcher must be a dispatcher', async (t) => {
  await assertOptionRefused(t, 'upstream.selectUser', ['user', 'body.user', {}, []])
  await assertOptionRefused(t, 'upstream.dispatcher', ['agent', {}, [], { request: true }, () => {}, { dispatch() {} }])
})
