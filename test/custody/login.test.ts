import { inspect } from 'node:util'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import {
  CredentialsRejectedError,
  createMemoryStore,
  type RequestSession,
  type SessionStore,
  type UpstreamClient
} from '../../lib/index.js'
import { createApp, logIn, withToken } from '../fixtures/app.js'
import { createCustodyApp, numberOf } from '../fixtures/custody-app.js'
import { createLog } from '../fixtures/log.js'
import { ACCESS_TOKEN, REFRESH_TOKEN, TOKENS_SECRET } from '../fixtures/planted-secrets.js'
import { startTokenUpstream } from '../fixtures/token-upstream.js'
import { until } from '../fixtures/until.js'
import { PASSWORD } from '../fixtures/upstream.js'

const [accessToken, refreshToken] = [`${ACCESS_TOKEN}:ada:1`, `${REFRESH_TOKEN}:ada:1`]

function tryToLogIn(app: FastifyInstance, headers = {}): Promise<LightMyRequestResponse> {
  const payload = { username: 'ada', password: PASSWORD }
  return app.inject({ method: 'POST', url: '/user/login', headers, payload })
}

/** Tokens that a login refuses, by the field that the log names. */
const WRONG: [field: string, fields: Record<string, unknown>][] = [
  ['accessToken', { access_token: undefined }],
  ['accessToken', { access_token: null }],
  ['accessToken', { access_token: '' }],
  ['accessToken', { access_token: 5 }],
  ['accessToken', { access_token: [accessToken] }],
  ['accessToken', { access_token: `${accessToken}\r\nx: y` }],
  ['accessToken', { access_token: `${accessToken} é` }],
  ['refreshToken', { refresh_token: '' }],
  ['refreshToken', { refresh_token: 5 }],
  ['refreshToken', { refresh_token: { refreshToken } }],
  ['refreshToken', { refresh_token: `${refreshToken}\n` }],
  ['maxBytes', { access_token: 'x'.repeat(8_193) }],
  ['maxBytes', { refresh_token: 'x'.repeat(8_193) }],
  ['maxBytes', { access_token: 'x'.repeat(8_000), refresh_token: 'x'.repeat(193) }]
]

t.test('a login whose tokens are wrong is answered 502, and has opened and ended nothing', async (t) => {
  const upstream = await startTokenUpstream(t)
  const { lines, logger } = createLog()
  const app = await createCustodyApp(t, upstream, {}, { logger })
  const before = await logIn(app)
  for (const [field, fields] of WRONG) {
    upstream.fields = fields
    lines.length = 0
    const answer = await tryToLogIn(app, { authorization: `Bearer ${before}` })
    t.match(answer.json(), { statusCode: 502, code: 'FST_JWT_SESSION_UPSTREAM_INVALID' }, field)
    t.match(lines.join(''), new RegExp(`"cause":"login: in the upstream's tokens .*${field}`))
    t.equal((await app.sessions.list('ada')).length, 1)
    t.equal(await numberOf(app, before), 1)
  }
})

t.test('tokens may have 8,192 bytes by default, no refresh token, and no expiry', async (t) => {
  const upstream = await startTokenUpstream(t)
  const app = await createCustodyApp(t, upstream)
  for (const fields of [
    { access_token: `${accessToken}`.padEnd(8_000, '.'), refresh_token: 'x'.repeat(192) },
    { refresh_token: undefined },
    { refresh_token: null, expires_in: null },
    { expires_in: undefined },
    { access_token: '~ !' }
  ]) {
    upstream.fields = fields
    t.equal((await tryToLogIn(app)).statusCode, 200)
  }
  upstream.fields = {}
  const small = await createCustodyApp(t, upstream, { tokens: { maxBytes: 10 } })
  t.equal((await tryToLogIn(small)).statusCode, 502)
})

t.test('an `expires_in` of nonsense is not used, and warned of once a minute', async (t) => {
  const upstream = await startTokenUpstream(t)
  const { lines, logger } = createLog()
  const app = await createCustodyApp(t, upstream, {}, { logger })
  for (const expiresIn of [0, -1, '3600', 'soon', true, {}, []]) {
    upstream.expiresIn = expiresIn
    const token = await logIn(app)
    const first = Number(await numberOf(app, token))
    t.equal(await numberOf(app, token), first, 'it never expires by the clock')
    t.equal(await numberOf(app, token, first), first + 1, 'and is refreshed after it was rejected')
    t.equal(await numberOf(app, token), first + 1)
  }
  t.strictSame(
    ['login', 'refresh'].map((operation) => lines.filter((line) => line.includes(`${operation}: in the`)).length),
    [1, 1]
  )
})

t.test('a login without tokens opens a session whose upstream asks for a login', async (t) => {
  const upstream = await startTokenUpstream(t)
  const { lines, logger } = createLog()
  const app = await createCustodyApp(t, upstream, { tokens: { select: async () => null } }, { logger })
  const { token: created } = await app.sessions.create({ id: 'ada' })
  for (const token of [await logIn(app), created]) {
    t.equal(await numberOf(app, token), '401 LOGIN_NEEDED')
    const answer = await app.inject(withToken(token, { url: '/token' }))
    t.equal(answer.headers['session-ended'] ?? answer.headers['clear-site-data'], undefined)
    t.equal((await app.inject(withToken(token))).statusCode, 200, 'the session is as good as before')
  }
  t.match(lines.filter((line) => JSON.parse(line).level >= 50).join(''), 'has no tokens of the upstream')
})

t.test('`select` finds the tokens where the upstream has them, and may reject the login', async (t) => {
  const upstream = await startTokenUpstream(t)
  const select = ({ auth }: { auth?: { at: string; rt: string } }) => {
    if (auth === undefined) throw new CredentialsRejectedError()
    return { accessToken: auth.at, refreshToken: auth.rt }
  }
  const app = await createCustodyApp(t, upstream, { tokens: { select } })
  t.equal((await tryToLogIn(app)).statusCode, 401)
  upstream.fields = { auth: { at: accessToken, rt: refreshToken } }
  t.equal(await numberOf(app, await logIn(app)), 1)
  for (const wrong of [() => undefined, () => 5, () => [accessToken], () => accessToken, () => new Map()]) {
    const other = await createCustodyApp(t, upstream, { tokens: { select: wrong as never } })
    const { statusCode } = await tryToLogIn(other)
    t.equal(statusCode, wrong() === undefined ? 200 : 502, `${wrong}`)
  }
})

t.test('no answer, no JSON, no inspection and no copy of a session has the tokens', async (t) => {
  const upstream = await startTokenUpstream(t)
  const sessions: RequestSession[] = []
  const app = await createCustodyApp(t, upstream, {}, {}, (app) =>
    app.addHook('onResponse', async ({ session }) => void (session && sessions.push(session)))
  )
  const answer = await tryToLogIn(app)
  t.strictSame(Object.keys(answer.json()), ['access_token', 'token_type', 'expires_in', 'user'])
  const token = answer.json().access_token
  for (const url of ['/me', '/user/session', '/token']) await app.inject(withToken(token, { url }))
  t.equal(sessions.length, 3)
  for (const session of sessions) {
    t.notOk('upstream' in structuredClone(session))
    t.notOk(Object.keys(session).includes('upstream'))
    const texts = [JSON.stringify(session), JSON.stringify(session.upstream)]
    for (const value of [session, session.upstream])
      texts.push(inspect(value, { depth: 9, showHidden: true, getters: true }))
    for (const text of texts) t.notMatch(text, /planted|1\.[\w-]{8}\./)
  }
})

t.test('the client of the application gives tokens, if it has the property', async (t) => {
  const tokens = { accessToken, refreshToken, expiresIn: 60 }
  const login: UpstreamClient['login'] = async () => ({ user: { id: 'ada' }, tokens })
  const addRoute = (app: FastifyInstance) =>
    app.get('/is-right', { preHandler: app.verifySession }, async ({ session: { upstream } }) => ({
      isRight: upstream === undefined ? 'undefined' : (await upstream.accessToken()) === accessToken
    }))
  const ask = async (app: FastifyInstance) =>
    (await app.inject(withToken(await logIn(app), { url: '/is-right' }))).json().isRight
  const app = await createApp(t, { upstream: { login, tokens: { secrets: TOKENS_SECRET } } }, {}, addRoute)
  t.equal(await ask(app), true)

  const { lines, logger } = createLog()
  const without = await createApp(t, { upstream: { login } }, { logger }, addRoute)
  t.match((await tryToLogIn(without)).json(), { statusCode: 502, code: 'FST_JWT_SESSION_UPSTREAM_INVALID' })
  t.match(lines.join(''), 'the upstream client has no `tokens`')
  t.strictSame(await without.sessions.list('ada'), [])
  const plain = await createApp(
    t,
    { upstream: { login: async () => ({ user: { id: 'ada' }, tokens: null }) } },
    {},
    addRoute
  )
  t.equal(await ask(plain), 'undefined')
})

t.test('a login stores the tokens in the step that opens the session, or is answered 503', async (t) => {
  const upstream = await startTokenUpstream(t)
  const memory = createMemoryStore()
  let isDown = false
  const calls: string[] = []
  const store = {
    ...memory,
    async create(...args: Parameters<typeof memory.create>) {
      calls.push(typeof args[2].tokens)
      if (isDown) throw new Error('down')
      return memory.create(...args)
    }
  }
  const app = await createCustodyApp(t, upstream, { store })
  const token = await logIn(app)
  isDown = true
  t.match((await tryToLogIn(app, { authorization: `Bearer ${token}` })).json(), { statusCode: 503 })
  t.strictSame(calls, ['string', 'string'])
  t.equal(await numberOf(app, token), 1)
})

t.test('tokens may be an object of a class, at a login and at a refresh', async (t) => {
  class Tokens {
    readonly accessToken: string
    readonly refreshToken: string
    constructor(body: Record<string, string>) {
      this.accessToken = String(body.access_token)
      this.refreshToken = String(body.refresh_token)
    }
  }
  const tokens = { select: (body: unknown) => new Tokens(body as Record<string, string>) }
  const app = await createCustodyApp(t, await startTokenUpstream(t), { tokens })
  const token = await logIn(app)
  t.equal(await numberOf(app, token), 1)
  t.equal(await numberOf(app, token, 1), 2)
})

t.test('`rejected` must be an access token', async (t) => {
  const upstream = await startTokenUpstream(t)
  const wrong: unknown[] = [null, 5, 'x', { rejected: 5 }, { rejected: null }, { Rejected: 'x' }]
  const errors: unknown[] = []
  const app = await createCustodyApp(t, upstream, {}, {}, (app) =>
    app.get('/wrong', { preHandler: app.verifySession }, async ({ session }) => {
      for (const options of wrong) {
        errors.push(await session.upstream.accessToken(options as never).catch(({ code }) => code))
      }
    })
  )
  await app.inject(withToken(await logIn(app), { url: '/wrong' }))
  t.strictSame(
    errors,
    wrong.map(() => 'FST_JWT_SESSION_INVALID_OPTION')
  )
})

t.test('a store whose create() ignores the tokens gets the tokens of a login by a second call', async (t) => {
  const upstream = await startTokenUpstream(t)
  const memory = createMemoryStore()
  let isDown = false
  const store: SessionStore = {
    ...memory,
    create: (id, record, { tokens: _, ...options }) => memory.create(id, record, options),
    writeTokens: async (...args) => {
      if (isDown) throw new Error('down')
      return (await memory.writeTokens?.(...args)) ?? false
    }
  }
  const app = await createCustodyApp(t, upstream, { store })
  t.equal(await numberOf(app, await logIn(app)), 1)

  isDown = true
  t.equal((await tryToLogIn(app)).statusCode, 503)
  await until(async () => (await app.sessions.list('ada')).length === 1)
  t.pass('the session without tokens has ended')
})
