import t from 'tap'
import { Type } from 'typebox'
import { createApp, logIn, logout } from '../fixtures/app.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { response, startRawUpstream } from '../fixtures/raw-upstream.js'
import { startUpstream } from '../fixtures/upstream.js'

// JSON text, because some values cannot be written as string literals.
const TEXTS: Record<string, string> = {
  spaces: '"  a b\\t "',
  'a line break': '"\\r\\n"',
  'a NUL': '"a\\u0000b"',
  quotes: '"\\"\'`\\\\"',
  'a composed character': '"\u00e9"',
  'a decomposed character': '"e\u0301"',
  'a ligature': '"\ufb01"',
  'full width': '"\uff41\uff42"',
  emoji: '"\u{1f469}\u200d\u{1f469}\u200d\u{1f466}"',
  'right to left': '"\u202eabc"',
  'a zero-width space': '"\u200b"',
  'a byte order mark': '"\ufeffa\ufeff"',
  'line separators': '"\u2028\u2029"',
  'a lone high surrogate': '"a\\ud800b"',
  'a lone low surrogate': '"\\udfff"',
  'a replacement character': '"\ufffd"',
  digits: '"007"',
  'what looks like JSON': '"{\\"a\\":1}"',
  'what looks like an escape': '"%41&amp;\\\\u0041"',
  'words of JavaScript': '"__proto__"',
  '256 characters': JSON.stringify('\u{1f511}'.repeat(128))
}

t.test('credentials reach the upstream unchanged', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  for (const [name, json] of Object.entries(TEXTS)) {
    for (const [route, body] of [
      ['login', `{"username":${json},"password":${json}}`],
      ['register', `{"username":${json},"password":${json},"email":${json.length < 200 ? json : '"a@b"'}}`]
    ] as const) {
      upstream.answers.push(response(200, '{"user":{"id":"ada"}}'))
      t.ok((await app.inject(postJson(`/user/${route}`, body))).statusCode < 300, name)
      const sent = upstream.requests.at(-1)?.body.toString() ?? ''
      t.strictSame(JSON.parse(sent), JSON.parse(body), name)
      t.strictSame(Object.keys(JSON.parse(sent)), Object.keys(JSON.parse(body)))
    }
  }
  const password = ' \u00e9\u{1f511}"\\'.repeat(500).slice(0, 1_024)
  await app.inject(postJson('/user/login', { username: 'ada', password }))
  t.equal(JSON.parse(upstream.requests.at(-1)?.body.toString() ?? '').password, password)
})

t.test('the upstream gets the validated value of a repeated key', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const body = '{"username":{"$gt":""},"username":"ada","password":1,"pass\\u0077ord":"x","password":"y"}'
  t.equal((await app.inject(postJson('/user/login', body))).statusCode, 200)
  t.equal(upstream.requests[0]?.body.toString(), '{"username":"ada","password":"y"}')
})

t.test('every field that a custom body schema allows is forwarded', async (t) => {
  const upstream = await startRawUpstream(t)
  const schema = Type.Object({ email: Type.String(), pin: Type.Integer(), device: Type.Optional(Type.Object({})) })
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl }, routes: { login: { schema } } })
  const body = '{"email":"a@b","pin":7,"device":{"os":["x",null,{"a":1.5}]},"more":true}'
  upstream.answers.push(response(200, '{"user":{"id":"ada"}}'))
  t.equal((await app.inject(postJson('/user/login', body))).statusCode, 200)
  t.equal(upstream.requests[0]?.body.toString(), body)
})

t.test('the upstream path is the base path plus the configured path, without the client’s query', async (t) => {
  const { baseUrl, requests } = await startUpstream(t)
  const paths = { loginPath: '/v1.0/~sign_in-x', registerPath: '/v1/sign-up', logoutPath: '/bye' }
  for (const [upstream, login, register, bye] of [
    [{ baseUrl }, '/user/login', '/user/register', undefined],
    [{ baseUrl: `${baseUrl}/` }, '/user/login', '/user/register', undefined],
    [{ baseUrl: `${baseUrl}/api/v2`, ...paths }, '/api/v2/v1.0/~sign_in-x', '/api/v2/v1/sign-up', '/api/v2/bye'],
    [{ baseUrl: `${baseUrl}/api/`, logoutPath: '/bye' }, '/api/user/login', '/api/user/register', '/api/bye']
  ] as const) {
    const app = await createApp(t, { upstream })
    requests.length = 0
    await app.inject(postJson('/user/register?next=/../x', CREDENTIALS))
    const token = await logIn(app)
    t.equal((await app.inject(logout(token))).statusCode, 204)
    t.strictSame(
      requests.map(({ method, path }) => `${method} ${path}`),
      [register, login, bye].flatMap((path) => (path === undefined ? [] : [`POST ${path}`]))
    )
  }
})
