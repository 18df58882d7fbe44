import t from 'tap'
import { createApp } from '../fixtures/app.js'
import { assertOptionRefused, BASE_URL, registerError } from '../fixtures/assert-option-refused.js'
import { listen } from '../fixtures/listen.js'
import { CREDENTIALS } from '../fixtures/post-json.js'
import { startRawUpstream } from '../fixtures/raw-upstream.js'
import { until } from '../fixtures/until.js'

const CLIENT_HEADERS = [
  ...[
    'Cookie: a=b',
    'Cookie2: c=d',
    'Authorization: Bearer x.y.z',
    'Proxy-Authorization: Basic eDp5',
    'Origin: http://x'
  ],
  ...['X-Forwarded-For: 6.6.6.6', 'X-Forwarded-Host: evil', 'X-Forwarded-Proto: https', 'X_Forwarded_For: 6.6.6.6'],
  ...[
    'Forwarded: for=6.6.6.6',
    'X-Real-IP: 6.6.6.6',
    'Via: 1.1 evil',
    'Connection: keep-alive, x-secret',
    'X-Secret: 1'
  ],
  ...[
    'Keep-Alive: timeout=99',
    'TE: trailers',
    'Upgrade-Insecure-Requests: 1',
    'Expect: 100-continue',
    'Max-Forwards: 1'
  ],
  ...[
    'Accept: text/html',
    'Accept-Encoding: gzip, br',
    'Accept-Language: de',
    'User-Agent: evil',
    'Referer: http://x/'
  ],
  ...['X-HTTP-Method-Override: DELETE', 'X-Original-URL: /admin', 'Content-Language: de', 'Range: bytes=0-1', 'X-Id: 7']
]

/** The headers of every call of the upstream, whatever the client has sent. */
const ownHeaders = (baseUrl: string, body: string, userAgent = 'fastify-jwt-session') => [
  'accept-encoding: identity',
  'accept: application/json',
  'connection: keep-alive',
  `content-length: ${Buffer.byteLength(body)}`,
  'content-type: application/json',
  `host: ${baseUrl.replace('http://', '')}`,
  `user-agent: ${userAgent}`
]

t.test('the upstream gets the headers of the plugin, and the allowed headers of the client', async (t) => {
  const body = JSON.stringify(CREDENTIALS)
  for (const [forwardHeaders, forwarded, userAgent] of [
    [undefined, [], undefined],
    [[], [], undefined],
    [
      ['User-Agent', 'ACCEPT-LANGUAGE', 'x-id', 'x-absent', '__proto__', 'constructor', 'toString'],
      ['accept-language: de', 'x-id: 7'],
      'evil'
    ]
  ] as const) {
    const upstream = await startRawUpstream(t)
    const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, forwardHeaders } })
    const { dial } = await listen(t, app)
    const { socket, received } = dial()
    const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
    const head = ['POST /user/login?a=b HTTP/1.1', 'Host: evil', 'Content-Type: application/json; charset=utf-8']
    socket.write([...head, 'Transfer-Encoding: chunked', ...CLIENT_HEADERS, '', chunked].join('\r\n'))
    await until(() => received().includes('access_token'))

    t.equal(upstream.requests.length, 1)
    const [request] = upstream.requests
    t.equal(request?.requestLine, 'POST /user/login HTTP/1.1')
    t.equal(request?.body.toString(), body)
    const expected = [...ownHeaders(upstream.baseUrl, body, userAgent), ...forwarded].sort()
    t.strictSame(
      request?.headers.map((header) => header.replace(/^[^:]+/, (name) => name.toLowerCase())).sort(),
      expected
    )
  }
})

t.test('a repeated or empty header is forwarded as Node.js has parsed the header', async (t) => {
  const upstream = await startRawUpstream(t)
  const forwardHeaders = ['x-id', 'x-empty', 'x-latin', 'user-agent']
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, forwardHeaders } })
  const { dial } = await listen(t, app)
  const { socket, received } = dial()
  const body = JSON.stringify(CREDENTIALS)
  const headers = ['X-Id: 1', 'X-Id: 2', 'User-Agent: a', 'User-Agent: b', 'X-Empty:', 'X-Latin: \xe4\xff']
  const head = [
    'POST /user/login HTTP/1.1',
    'Host: x',
    'Content-Type: application/json',
    `Content-Length: ${body.length}`
  ]
  socket.write(Buffer.from([...head, ...headers, '', body].join('\r\n'), 'latin1'))
  await until(() => received().includes('access_token'))
  const own = ownHeaders(upstream.baseUrl, body)
  t.strictSame(
    upstream.requests[0]?.headers.filter((header) => !own.includes(header)),
    ['user-agent: a', 'x-empty: ', 'x-id: 1, 2', 'x-latin: \xe4\xff']
  )
})

const NEVER_FORWARDED = [
  ...['authorization', 'proxy-authorization', 'proxy-authenticate', 'proxy-connection', 'cookie', 'set-cookie', 'host'],
  ...['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings', 'expect', 'via'],
  ...['content-length', 'content-type', 'content-encoding', 'content-md5', 'accept', 'accept-encoding', 'forwarded'],
  ...['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-port', 'x-forwarded-user', 'x-real-ip']
]

t.test('headers of credentials, framing and proxies cannot be in `forwardHeaders`, in any spelling', async (t) => {
  for (const header of NEVER_FORWARDED) {
    const snake = header.replaceAll('-', '_')
    const capitals = header.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())
    for (const name of new Set([header, capitals, snake, snake.toUpperCase(), header.replace('-', '_')])) {
      const expected = { code: 'FST_JWT_SESSION_INVALID_OPTION', option: 'upstream.forwardHeaders' }
      t.match(await registerError({ baseUrl: BASE_URL, forwardHeaders: ['x-id', name] }), expected, name)
    }
  }
})

t.test('`forwardHeaders` must be a list of header names', async (t) => {
  const names = [
    '',
    ' ',
    'x id',
    ' x-id',
    'x-id ',
    'x-id:',
    'x\r\nid',
    'x-id\n',
    'x\0',
    'x-\u00e9',
    'x-\u212a',
    '"x"',
    'x/y'
  ]
  await assertOptionRefused(
    t,
    'upstream.forwardHeaders',
    names.map((name) => [name])
  )
  await assertOptionRefused(t, 'upstream.forwardHeaders', [
    'x-id',
    true,
    {},
    { 0: 'x-id', length: 1 },
    [7],
    [null],
    [['x-id']],
    new Set(['x-id'])
  ])
})
