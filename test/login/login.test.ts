import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import {
  type CreateOptions,
  createMemoryStore,
  type JwtSessionOptions,
  type SessionStore,
  type UpstreamLogin
} from '../../lib/index.js'
import { createApp, logIn, withToken } from '../fixtures/app.js'
import { createLog } from '../fixtures/log.js'
import { freezeClock, HEADER, NOW, payloadOf, readPayload, seal, upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

/** A memory store whose methods a test can replace while the app runs. */
function createStore(t: Test) {
  const memory = createMemoryStore()
  t.teardown(() => memory.close())
  const faults: Partial<SessionStore> = {}
  const calls: [string, ...unknown[]][] = []
  const store = Object.fromEntries(
    Object.entries(memory).map(([name, method]) => [
      name,
      (...args: unknown[]) => {
        calls.push([name, ...args])
        const { [name as keyof SessionStore]: fault = method } = faults
        return (fault as (...args: unknown[]) => unknown)(...args)
      }
    ])
  ) as unknown as SessionStore
  return { store, memory, faults, calls }
}

function idOf(token: string): string {
  return readPayload(token).jti as string
}

function login(app: FastifyInstance, username: string, token?: string) {
  const request = { method: 'POST', url: '/user/login', payload: { username, password: 'x' } } as const
  return app.inject(token === undefined ? request : withToken(token, request))
}

async function reasonOf(app: FastifyInstance, token: string): Promise<unknown> {
  const answer = await app.inject(withToken(token))
  return answer.statusCode === 200 ? 'live' : answer.json().reason
}

const fail = () => Promise.reject(new Error('Out of memory'))

t.test("create() opens the new session and ends the user's session of the request in one step", async (t) => {
  const { store, calls } = createStore(t)
  const app = await createApp(t, { store, upstream, session: { maxPerUser: 7 } })
  const token = await logIn(app, 'ada')
  calls.length = 0
  const next = (await login(app, 'ada', token)).json().access_token
  t.strictSame(
    calls.map(([name]) => name),
    ['find', 'create'],
    'find() reads the data for the new session'
  )
  const [, id, , options] = calls[1] as unknown as [string, string, string, CreateOptions]
  t.equal(id, idOf(next))
  t.equal(options.replaces, idOf(token))
  t.match(options.limit, { max: 7, onFull: 'evict' })
  t.equal(options.expiresAt, Number(readPayload(next).exp) * 1_000, 'the expiry of the token, a whole second')
  t.ok(options.startedMsAgo >= 0 && options.startedMsAgo < 5_000)
  t.strictSame([await reasonOf(app, token), await reasonOf(app, next)], ['logged_in_again', 'live'])
})

t.test('a login that is not answered 200 opens and ends no session', async (t) => {
  const failures: Record<string, { create: SessionStore['create']; statusCode: number; code: string }> = {
    'the store is full': { create: fail, statusCode: 503, code: 'STORE_UNAVAILABLE' },
    'the call was too late': { create: async () => 'too_late', statusCode: 503, code: 'STORE_UNAVAILABLE' },
    'the limit': { create: async () => 'full', statusCode: 409, code: 'LIMIT_REACHED' },
    'all sessions were revoked meanwhile': {
      create: async () => 'revoked',
      statusCode: 401,
      code: 'CREDENTIALS_REJECTED'
    },
    'another word': { create: async () => 'QUEUED' as 'full', statusCode: 503, code: 'STORE_UNAVAILABLE' }
  }
  for (const [name, { create, statusCode, code }] of Object.entries(failures)) {
    const { store, faults } = createStore(t)
    const app = await createApp(t, { store, upstream })
    const [mine, theirs] = [await logIn(app, 'ada'), await logIn(app, 'bob')]
    faults.create = create
    for (const token of [mine, theirs]) {
      const answer = await login(app, 'ada', token)
      t.equal(answer.statusCode, statusCode, name)
      t.equal(answer.json().code, `FST_JWT_SESSION_${code}`)
      t.equal(answer.headers['clear-site-data'], undefined)
    }
    delete faults.create
    t.strictSame([await reasonOf(app, mine), await reasonOf(app, theirs)], ['live', 'live'], name)
    t.equal((await app.sessions.list('ada')).length, 1, name)
  }
})

t.test('a login that spans a revokeAll() opens no session', async (t) => {
  const { store } = createStore(t)
  const responses: ((login: UpstreamLogin) => void)[] = []
  const slow = { login: () => new Promise<UpstreamLogin>((resolve) => responses.push(resolve)) }
  const app = await createApp(t, { store, upstream: slow })
  /** Logs in; the upstream responds when `between` has settled. */
  async function during(between: () => Promise<unknown>) {
    const [answer] = await Promise.all([
      login(app, 'ada'),
      until(() => responses.length === 1).then(async () => {
        // The store compares times in milliseconds.
        await delay(5)
        await between()
        responses.pop()?.({ user: { id: 'ada' } })
      })
    ])
    return answer
  }
  const answer = await during(() => app.sessions.revokeAll('ada'))
  t.equal(answer.statusCode, 401)
  t.equal(answer.json().code, 'FST_JWT_SESSION_CREDENTIALS_REJECTED')
  t.equal(answer.headers['www-authenticate'], 'Bearer realm="session"')
  t.strictSame(await app.sessions.list('ada'), [])
  t.equal((await during(async () => {})).statusCode, 200, 'a later login works')
})

t.test("a login ends another user's session of the request", async (t) => {
  const { store, calls } = createStore(t)
  const app = await createApp(t, { store, upstream })
  const token = await logIn(app, 'bob')
  calls.length = 0
  const answer = await login(app, 'ada', token)
  t.equal(answer.statusCode, 200)
  t.strictSame(
    calls.map(([name, id]) => [name, id]),
    [
      ['create', idOf(answer.json().access_token)],
      ['end', idOf(token)]
    ]
  )
  t.match(calls[0]?.[3], { replaces: null })
  t.equal(await reasonOf(app, token), 'logged_in_again')
})

t.test("a login is answered 200 when the end of another user's session fails, and the end is retried", async (t) => {
  const { store, faults } = createStore(t)
  const app = await createApp(t, { store, upstream })
  const token = await logIn(app, 'bob')
  let tries = 0
  faults.end = async () => {
    tries++
    throw new Error('Out of memory')
  }
  const answer = await login(app, 'ada', token)
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers['clear-site-data'], '"storage"')
  await until(() => tries >= 2)
  t.equal(await reasonOf(app, token), 'live')
  delete faults.end
  await until(async () => (await reasonOf(app, token)) === 'logged_in_again')
})

t.test("a login waits at most storeTimeoutMs for the end of another user's session", async (t) => {
  const { store, faults } = createStore(t)
  const app = await createApp(t, { store, upstream, storeTimeoutMs: 1_000 })
  const token = await logIn(app, 'bob')
  faults.end = () => new Promise(() => {})
  t.equal((await login(app, 'ada', token)).statusCode, 200)
})

t.test('a login works with a token of an expired or unknown session', async (t) => {
  const clock = freezeClock(t)
  const { store } = createStore(t)
  const app = await createApp(t, { store, upstream })
  const { session } = await app.sessions.create({ id: 'bob' })
  const expired = seal(HEADER, payloadOf(session, { exp: `${NOW - 1}` }))
  const notYet = seal(HEADER, payloadOf(session, { nbf: `${NOW + 60}` }))
  for (const token of [expired, notYet, 'garbage']) t.equal((await login(app, 'ada', token)).statusCode, 200)
  t.equal(await app.sessions.find(session.id), null, 'the session of the token ends, whatever the times of the token')
  clock.now += 1
})

t.test('expired and unreadable sessions do not count for the limit', async (t) => {
  const clock = freezeClock(t)
  const { store, memory } = createStore(t)
  const limits = { maxPerUser: 2, onMaxPerUser: 'reject', idleTimeoutSeconds: 60 } as const
  const app = await createApp(t, { store, upstream, session: limits })
  const [idle, live] = [await logIn(app, 'ada'), await logIn(app, 'ada')]
  clock.now += 50
  t.equal(await reasonOf(app, live), 'live')
  await turn()
  t.equal((await login(app, 'ada')).statusCode, 409)
  clock.now += 15
  t.equal((await login(app, 'ada')).statusCode, 200)
  t.strictSame([await reasonOf(app, idle), await reasonOf(app, live)], ['replaced', 'live'])
  t.equal((await login(app, 'ada')).statusCode, 409)
  const record = ((await memory.find(idOf(live))) as { record: string }).record
  await memory.replace(idOf(live), record, 'cannot be read')
  t.equal((await login(app, 'ada')).statusCode, 200)
  t.equal((await login(app, 'ada')).statusCode, 409)
})

t.test('the default limit is 100, and evictions by the default limit are logged once a minute', async (t) => {
  const { store, memory } = createStore(t)
  const run = async (session: NonNullable<JwtSessionOptions['session']>) => {
    const { lines, logger } = createLog()
    const app = await createApp(t, { store, upstream, session }, { logger })
    return { app, warnings: () => lines.filter((line) => line.includes('session.maxPerUser')) }
  }
  const byDefault = await run({})
  const tokens: string[] = []
  while (tokens.length < 101) tokens.push((await byDefault.app.sessions.create({ id: 'ada' })).token)
  t.equal((await byDefault.app.sessions.list('ada')).length, 100)
  t.equal(await reasonOf(byDefault.app, tokens[0] as string), 'replaced')
  for (let n = 0; n < 3; n++) await byDefault.app.sessions.create({ id: 'ada' })
  t.equal(byDefault.warnings().length, 1)
  t.match(byDefault.warnings()[0], '"level":40')
  const later = t.intercept(performance, 'now', { value: () => performance.timeOrigin + 10 ** 9 })
  await byDefault.app.sessions.create({ id: 'ada' })
  later.restore()
  t.equal(byDefault.warnings().length, 2)

  const chosen = await run({ maxPerUser: 1 })
  await chosen.app.sessions.create({ id: 'ada' })
  t.equal((await memory.list(idOf(tokens[0] as string).slice(0, 16))).length, 1)
  t.strictSame(chosen.warnings(), [], 'evictions by a chosen limit are not logged')
})
