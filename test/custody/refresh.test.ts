import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import {
  CredentialsRejectedError,
  UpstreamBusyError,
  UpstreamError,
  type UpstreamTokens,
  UpstreamUnavailableError
} from '../../lib/index.js'
import { createApp, logIn, withToken } from '../fixtures/app.js'
import { askForToken, createCustodyApp, numberOf, setClockAhead } from '../fixtures/custody-app.js'
import { createLog } from '../fixtures/log.js'
import { ACCESS_TOKEN, REFRESH_TOKEN, TOKENS_SECRET } from '../fixtures/planted-secrets.js'
import { startTokenUpstream, type TokenUpstream } from '../fixtures/token-upstream.js'
import { until } from '../fixtures/until.js'

const REFUSED = [400, 401, 402, 403, 404, 409, 410, 412, 422, 423, 428, 451]

t.test('a refused refresh asks for a login, ends no session, and is tried again', async (t) => {
  const upstream = await startTokenUpstream(t)
  const { lines, logger } = createLog()
  const app = await createCustodyApp(t, upstream, {}, { logger })
  const token = await logIn(app)
  for (const status of REFUSED) {
    upstream.onRefresh = (response) => Boolean(response.writeHead(status).end('upstream stack trace'))
    const answer = await askForToken(app, token, 1)
    t.match(answer.json(), { statusCode: 401, code: 'FST_JWT_SESSION_LOGIN_NEEDED' }, `${status}`)
    t.equal(answer.headers['session-ended'] ?? answer.headers['clear-site-data'], undefined)
    const errors = lines.filter((line) => JSON.parse(line).level >= 50)
    t.match(errors.at(-1), `refresh: the upstream answered ${status}`)
    t.equal(await numberOf(app, token), 1, 'the access token is still good for who has no other')
  }
  t.equal((await app.inject(withToken(token))).statusCode, 200)
  upstream.onRefresh = () => false
  t.equal(await numberOf(app, token, 1), 2)
})

t.test('a refused refresh of a token that is due and still good asks for a login too', async (t) => {
  const upstream = await startTokenUpstream(t)
  const app = await createCustodyApp(t, upstream)
  const token = await logIn(app)
  upstream.onRefresh = (response) => Boolean(response.writeHead(400).end())
  setClockAhead(t, 580)
  t.equal(await numberOf(app, token), '401 LOGIN_NEEDED')
})

const FAILURES: Record<string, { status: number; code: string; onRefresh: TokenUpstream['onRefresh'] }> = {
  'a reset': { status: 502, code: 'UPSTREAM_INVALID', onRefresh: ({ socket }) => Boolean(socket?.destroy()) },
  'a 500': { status: 502, code: 'UPSTREAM_INVALID', onRefresh: (r) => Boolean(r.writeHead(500).end('x')) },
  'a 503': { status: 503, code: 'UPSTREAM_UNAVAILABLE', onRefresh: (r) => Boolean(r.writeHead(503).end('x')) },
  'a 429': { status: 503, code: 'UPSTREAM_UNAVAILABLE', onRefresh: (r) => Boolean(r.writeHead(429).end('x')) },
  'a redirect': {
    status: 502,
    code: 'UPSTREAM_INVALID',
    onRefresh: (r) => Boolean(r.writeHead(302, { location: '/user/refresh' }).end())
  },
  silence: { status: 504, code: 'UPSTREAM_TIMEOUT', onRefresh: () => true },
  'no JSON': { status: 502, code: 'UPSTREAM_INVALID', onRefresh: (r) => Boolean(r.end('upstream stack trace')) },
  'an empty body': { status: 502, code: 'UPSTREAM_INVALID', onRefresh: (r) => Boolean(r.end()) },
  'no tokens': { status: 502, code: 'UPSTREAM_INVALID', onRefresh: (r) => Boolean(r.end('{"user":{"id":"ada"}}')) },
  null: { status: 502, code: 'UPSTREAM_INVALID', onRefresh: (r) => Boolean(r.end('null')) },
  'an access token of another type': {
    status: 502,
    code: 'UPSTREAM_INVALID',
    onRefresh: (r) => Boolean(r.end('{"access_token":5}'))
  }
}

for (const [name, { status, code, onRefresh }] of Object.entries(FAILURES)) {
  t.test(`${name} at a refresh: ${status}, unless the token is still good, and nothing is lost`, async (t) => {
    const upstream = await startTokenUpstream(t)
    const { lines, logger } = createLog()
    const app = await createCustodyApp(
      t,
      upstream,
      { upstream: { timeoutMs: name === 'silence' ? 1_000 : 10_000 } },
      { logger }
    )
    const [token, due] = [await logIn(app), await logIn(app, 'bob')]
    upstream.onRefresh = onRefresh
    t.equal(await numberOf(app, token, 1), `${status} ${code}`)
    const setBack = setClockAhead(t, 580)
    t.equal(await numberOf(app, due), 1, 'due, and still good')
    t.strictSame(upstream.refreshes, ['ada:1', 'bob:1'])
    setBack()
    t.match(lines.filter((line) => line.includes('were not refreshed')).join(''), '"level":40')
    upstream.onRefresh = () => false
    t.equal(await numberOf(app, token, 1), 2)
    t.equal(await numberOf(app, due, 1), 2)
  })
}

t.test('while the upstream does not respond to refreshes, they are rejected at once, and logins are not', async (t) => {
  const upstream = await startTokenUpstream(t)
  const { lines, logger } = createLog()
  const options = { upstream: { timeoutMs: 1_000 }, breaker: { upstream: { failures: 2, probeAfterMs: 300 } } }
  const app = await createCustodyApp(t, upstream, options, { logger })
  const token = await logIn(app)
  upstream.onRefresh = () => true
  t.equal(await numberOf(app, token, 1), '504 UPSTREAM_TIMEOUT')
  t.equal(await numberOf(app, token, 1), '504 UPSTREAM_TIMEOUT')
  t.equal(await numberOf(app, token, 1), '503 UPSTREAM_UNAVAILABLE')
  t.equal(upstream.refreshes.length, 2)
  const other = await logIn(app, 'bob')
  upstream.onRefresh = () => false
  await until(async () => (await numberOf(app, token, 1)) === 2)
  t.equal(await numberOf(app, other), 1)
  const logged = lines.filter((line) => line.includes('to refreshes'))
  t.match(logged[0], 'does not respond to refreshes')
  t.match(logged[1], 'responds to refreshes again')
})

t.test('what a refresh answers besides the access token is used where it can be, and nothing is lost', async (t) => {
  const upstream = await startTokenUpstream(t)
  const { lines, logger } = createLog()
  const app = await createCustodyApp(t, upstream, { tokens: { maxBytes: 100 } }, { logger })
  for (const [warning, fields] of [
    [undefined, { refresh_token: undefined }],
    [undefined, { refresh_token: null }],
    ['refreshToken', { refresh_token: 5 }],
    ['refreshToken', { refresh_token: '' }]
  ] as const) {
    const token = await logIn(app)
    const first = Number(await numberOf(app, token))
    upstream.fields = fields
    const accepted = upstream.refreshes.length
    t.equal(await numberOf(app, token, first), first + 1)
    t.equal(await numberOf(app, token, first + 1), '401 LOGIN_NEEDED', 'the upstream takes the former one once')
    t.equal(upstream.refreshes[accepted], upstream.refreshes[accepted + 1], 'which was kept')
    if (warning !== undefined) t.match(lines.join(''), `in the upstream's tokens \`${warning}\``)
    upstream.fields = {}
  }
  const token = await logIn(app)
  const first = Number(await numberOf(app, token))
  upstream.fields = { access_token: `${ACCESS_TOKEN}:ada:${'0'.repeat(100)}${first + 1}` }
  t.equal(await numberOf(app, token, first), first + 1, 'too large for a login')
  t.match(lines.join(''), 'have more than `upstream.tokens.maxBytes` bytes')
  upstream.fields = {}
  const answer = await askForToken(app, token)
  t.equal(answer.json().number, first + 1)
})

t.test('a token with a short lifetime is refreshed after half of it, not for every call', async (t) => {
  const upstream = await startTokenUpstream(t)
  const app = await createCustodyApp(t, upstream)
  upstream.expiresIn = 20
  const token = await logIn(app)
  t.equal(await numberOf(app, token), 1)
  setClockAhead(t, 11)
  t.equal(await numberOf(app, token), 2)
  t.equal(await numberOf(app, token), 2)
})

t.test('without a refresh the token of the login is used while it is good', async (t) => {
  const upstream = await startTokenUpstream(t)
  const { lines, logger } = createLog()
  const never = await createCustodyApp(t, upstream, { tokens: { refreshPath: undefined } }, { logger })
  const token = await logIn(never)
  t.equal(await numberOf(never, token), 1)
  t.equal(await numberOf(never, token, 1), '401 LOGIN_NEEDED')
  const setBack = setClockAhead(t, 590)
  t.equal(await numberOf(never, token), 1, 'due, and still good')
  setBack()
  setClockAhead(t, 601)
  t.equal(await numberOf(never, token), '401 LOGIN_NEEDED')
  t.match(lines.filter((line) => JSON.parse(line).level >= 50).join(''), 'neither `refreshPath` nor `refresh`')
  upstream.fields = { refresh_token: undefined }
  const without = await createCustodyApp(t, upstream)
  t.equal(await numberOf(without, await logIn(without), 2), '401 LOGIN_NEEDED', 'without a refresh token')
  t.strictSame(upstream.refreshes, [])
})

class Odd extends UpstreamError {
  constructor(status: number) {
    super('APP_ODD', status, 'Odd')
  }
}

t.test(
  'the refresh of the application is called with the refresh token and a signal, and decides the error',
  async (t) => {
    let number = 1
    let refresh: (refreshToken: string, context: { signal: AbortSignal }) => unknown
    const tokens = () => ({
      accessToken: `${ACCESS_TOKEN}:ada:${number}`,
      refreshToken: `${REFRESH_TOKEN}:ada:${number}`,
      expiresIn: 60
    })
    const custody = {
      secrets: [TOKENS_SECRET],
      refresh: async (...args: Parameters<typeof refresh>) => (await refresh(...args)) as UpstreamTokens
    }
    const client = { login: async () => ({ user: { id: 'ada' }, tokens: tokens() }), tokens: custody, timeoutMs: 1_000 }
    const addRoute = (app: FastifyInstance) =>
      app.get('/token', { preHandler: app.verifySession }, async ({ session, query }) => {
        const { rejected } = query as { rejected?: string }
        const token = await session.upstream.accessToken({ rejected: `${ACCESS_TOKEN}:ada:${rejected}` })
        return { number: Number(token.split(':').at(-1)), isOfUser: true }
      })
    const upstream = await startTokenUpstream(t)
    for (const app of [
      await createApp(t, { upstream: client }, {}, addRoute),
      await createCustodyApp(t, upstream, {
        tokens: { refreshPath: undefined, ...custody },
        upstream: { timeoutMs: 1_000 }
      })
    ]) {
      number = 1
      const token = await logIn(app)
      for (const [error, expected] of [
        [new CredentialsRejectedError(), '401 LOGIN_NEEDED'],
        [new Odd(403), '401 LOGIN_NEEDED'],
        [new Odd(418), '418 APP_ODD'],
        [new UpstreamBusyError('5'), '503 UPSTREAM_UNAVAILABLE'],
        [new UpstreamUnavailableError(), '503 UPSTREAM_UNAVAILABLE'],
        [new Error('upstream stack trace'), '502 UPSTREAM_INVALID'],
        ['upstream stack trace', '502 UPSTREAM_INVALID']
      ] as const) {
        refresh = () => Promise.reject(error)
        t.equal(await numberOf(app, token, 1), expected)
      }
      for (const odd of [undefined, null, 5, [], 'x', { accessToken: '' }]) {
        refresh = () => odd
        t.equal(await numberOf(app, token, 1), '502 UPSTREAM_INVALID', JSON.stringify(odd))
      }
      let wasAborted = false
      refresh = (_token, { signal }) =>
        new Promise(() => signal.addEventListener('abort', () => (wasAborted = true), { once: true }))
      t.equal(await numberOf(app, token, 1), '504 UPSTREAM_TIMEOUT')
      t.equal(wasAborted, true)
      const calls: unknown[] = []
      refresh = (refreshToken, context) => {
        calls.push([refreshToken === `${REFRESH_TOKEN}:ada:${number}`, Object.keys(context), context.signal.aborted])
        number++
        return tokens()
      }
      t.equal(await numberOf(app, token, 1), 2)
      t.strictSame(calls, [[true, ['signal'], false]])
    }
  }
)

t.test('a refresh goes on when the request that began it has gone', async (t) => {
  const upstream = await startTokenUpstream(t)
  const app = await createCustodyApp(t, upstream)
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const token = await logIn(app)
  let goOn = () => {}
  upstream.onRefresh = async () => {
    await new Promise<void>((resolve) => (goOn = resolve))
    return false
  }
  const controller = new AbortController()
  const headers = { authorization: `Bearer ${token}` }
  const gone = fetch(`${origin}/token?rejected=1`, { headers, signal: controller.signal }).catch(() => 'gone')
  await until(() => upstream.refreshes.length === 1)
  controller.abort()
  t.equal(await gone, 'gone')
  const second = numberOf(app, token, 1)
  await delay(50)
  goOn()
  t.equal(await second, 2)
  t.equal(upstream.refreshes.length, 1)
})

t.test('a token that was rejected while a refresh for another call ran is refreshed once more', async (t) => {
  const upstream = await startTokenUpstream(t)
  const app = await createCustodyApp(t, upstream)
  const token = await logIn(app)
  let goOn = () => {}
  upstream.onRefresh = async () => {
    await new Promise<void>((resolve) => (goOn = resolve))
    return false
  }
  const first = numberOf(app, token, 1)
  await until(() => upstream.refreshes.length === 1)
  // No upstream rejects a token that it has not given yet; but the call must not get back what it has rejected.
  const second = numberOf(app, token, 2)
  await delay(20)
  t.equal(await second, 1, 'the stored token is another one')
  goOn()
  t.equal(await first, 2)
  await rejectTwice(t, app, upstream, token)
})

async function rejectTwice(t: Test, app: FastifyInstance, upstream: TokenUpstream, token: string): Promise<void> {
  upstream.onRefresh = () => false
  upstream.fields = { access_token: `${ACCESS_TOKEN}:ada:2` }
  t.equal(await numberOf(app, token, 2), 2, 'an upstream that gives the same token again is not called for ever')
  t.ok(upstream.refreshes.length <= 3)
}
