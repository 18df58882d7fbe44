import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import {
  createMemoryStore,
  type JwtSessionOptions,
  type LogInOptions,
  type SessionStore,
  type UpstreamClient,
  type User
} from '../../lib/index.js'
import { createApp, logIn, SECRET, withToken } from '../fixtures/app.js'
import { createLog } from '../fixtures/log.js'
import { STORES } from '../fixtures/stores.js'
import { until } from '../fixtures/until.js'

const userSchema = Type.Object({ id: Type.String(), role: Type.Optional(Type.String()) })

/** A user with a role, typed as in a project without a declared `userSchema`. */
const userOf = (id: string, role: string): User => Object.assign({ id }, { role })

/** The reply of the upstream, by the username. */
const UPSTREAM: UpstreamClient = {
  async login(credentials) {
    const { username } = credentials as { username: string }
    const [id = '', data] = username.split(' ')
    return { user: { id }, ...(data !== undefined && { data: JSON.parse(data) }) }
  }
}

/** An app whose `POST /magic` logs in the user of the body, with the options of the body. */
async function createMagicApp(t: Test, options: Partial<JwtSessionOptions> = {}): Promise<FastifyInstance> {
  return createApp(t, { upstream: UPSTREAM, userSchema, ...options }, {}, (app) => {
    app.post<{ Body: { user: User; options?: LogInOptions } }>('/magic', async (request, reply) =>
      app.sessions.login(request, reply, request.body.user, request.body.options)
    )
  })
}

const magic = (id: string, options?: unknown, headers: Record<string, string> = {}) => ({
  method: 'POST' as const,
  url: '/magic',
  payload: { user: { id }, options },
  headers
})

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`data and users of sessions, in the ${name} store`, async (t) => {
    const store = await createStore(t)
    const options = { store, storeTimeoutMs: 10_000 }
    const app = await createMagicApp(t, options)
    const dataOf = async (token: string) => (await app.inject(withToken(token))).json().data

    t.test('a login with a token of the same user copies the data to the new session, as the same bytes', async (t) => {
      const { token, session } = await app.sessions.create(
        { id: 'ada' },
        { data: { cart: ['é', 1e21, { b: 1, a: 2 }] } }
      )
      await app.sessions.update(session.id, { '10': 'x', '2': null })
      const before = JSON.stringify((await app.sessions.find(session.id))?.data)
      for (const next of [
        await app.inject({ ...withToken(token, magic('ada')) }),
        await app.inject({
          ...withToken((await app.sessions.create({ id: 'ada' }, { data: JSON.parse(before) })).token, {
            method: 'POST',
            url: '/user/login',
            payload: { username: 'ada', password: 'x' }
          })
        })
      ]) {
        t.equal(next.statusCode, 200)
        const sessions = await app.sessions.list('ada')
        t.equal(JSON.stringify(sessions.at(-1)?.data), before)
        t.strictSame(await dataOf(next.json().access_token), JSON.parse(before))
      }
      t.equal((await app.inject(withToken(token))).json().reason, 'logged_in_again')
    })

    t.test('data of the login replaces the data of the previous session', async (t) => {
      for (const own of [{}, { b: 2 }]) {
        const { token } = await app.sessions.create({ id: 'bea' }, { data: { a: 1 } })
        const next = await app.inject(withToken(token, magic('bea', { data: own })))
        t.strictSame(await dataOf(next.json().access_token), own)
        const again = await app.sessions.create({ id: 'bea' }, { data: { a: 1 } })
        const login = { method: 'POST' as const, url: '/user/login' }
        const payload = { username: `bea ${JSON.stringify(own)}`, password: 'x' }
        const other = await app.inject(withToken(again.token, { ...login, payload }))
        t.strictSame(await dataOf(other.json().access_token), own)
        t.notMatch(other.body, '"b"', 'the data is not in the reply')
      }
    })

    t.test('a login copies no data of another user or of a session that has ended', async (t) => {
      const other = await app.sessions.create({ id: 'cid' }, { data: { a: 1 } })
      const ofOther = await app.inject(withToken(other.token, magic('dan')))
      t.equal(ofOther.headers['clear-site-data'], '"storage"')
      t.strictSame(await dataOf(ofOther.json().access_token), {})
      const ended = await app.sessions.create({ id: 'dan' }, { data: { a: 1 } })
      await app.sessions.revoke(ended.session.id)
      t.strictSame(await dataOf((await app.inject(withToken(ended.token, magic('dan')))).json().access_token), {})
    })

    t.test('updateUser() changes only the user, in every live session', async (t) => {
      const sessions = [
        await app.sessions.create(userOf('eve', 'admin'), { data: { a: 1 } }),
        await app.sessions.create({ id: 'eve' })
      ]
      const ended = await app.sessions.create({ id: 'eve' })
      await app.sessions.revoke(ended.session.id)
      const [first] = sessions
      const before = await app.sessions.find(first?.session.id ?? '')
      t.equal(await app.sessions.updateUser('eve', userOf('eve', 'guest')), 2)
      t.strictSame(await app.sessions.find(first?.session.id ?? ''), { ...before, user: { id: 'eve', role: 'guest' } })
      for (const { token } of sessions) {
        await until(async () => (await app.inject(withToken(token))).json().user.role === 'guest')
      }
      t.equal(await app.sessions.find(ended.session.id), null)
      t.equal(await app.sessions.updateUser('unknown', { id: 'unknown' }), 0)
    })

    t.test('no change is lost when updateUser() and update() run in parallel', async (t) => {
      const { session } = await app.sessions.create({ id: 'fay' })
      await Promise.all([
        ...Array.from({ length: 20 }, (_, n) => app.sessions.update(session.id, { [n]: n })),
        ...Array.from({ length: 5 }, () => app.sessions.updateUser('fay', userOf('fay', 'new')))
      ])
      const found = await app.sessions.find(session.id)
      t.strictSame(found?.user, { id: 'fay', role: 'new' })
      t.equal(Object.keys(found?.data ?? {}).length, 20)
    })
  })
}

t.test('a login by app.sessions.login() has the reply of the login route', async (t) => {
  const app = await createMagicApp(t)
  const answer = await app.inject(magic('ada', undefined, { 'user-agent': 'tap' }))
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers['cache-control'], 'no-store')
  t.match(answer.json(), { token_type: 'Bearer', expires_in: 43_200, user: { id: 'ada' } })
  t.match(await app.sessions.list('ada'), [{ ip: '127.0.0.1', userAgent: 'tap' }])
})

t.test('app.sessions.login() opens no session when the reply fails, and the route may redirect', async (t) => {
  const app = await createApp(t, { upstream: UPSTREAM }, {}, (app) => {
    app.get('/redirect', async (request, reply) => {
      await app.sessions.login(request, reply, { id: 'ada' })
      return reply.redirect('/')
    })
    app.get('/fail', async (request, reply) => {
      await app.sessions.login(request, reply, { id: 'bea' })
      throw new Error('fails')
    })
    app.get('/answered', async (request, reply) => {
      reply.send('done')
      await app.sessions.login(request, reply, { id: 'cid' })
    })
  })
  t.equal((await app.inject('/redirect')).statusCode, 302)
  t.equal((await app.inject('/fail')).statusCode, 500)
  t.equal((await app.inject('/answered')).body, 'done')
  await until(async () => (await app.sessions.list('bea')).length === 0)
  t.equal((await app.sessions.list('ada')).length, 1)
  t.equal((await app.sessions.list('cid')).length, 0)
})

t.test('app.sessions.login() opens no session while a reply of the host waits in a hook', async (t) => {
  let inHook = () => {}
  const reached = new Promise<void>((resolve) => {
    inHook = resolve
  })
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const app = await createApp(t, { upstream: UPSTREAM }, {}, (app) => {
    const onSend = async () => {
      inHook()
      await released
    }
    app.get('/late', { onSend }, async (request, reply) => {
      void reply.code(503).send('host')
      await reached
      setTimeout(release, 5)
      return app.sessions.login(request, reply, { id: 'ada' })
    })
  })
  const answer = await app.inject('/late')
  t.match([answer.statusCode, answer.body], [503, 'host'])
  t.strictSame(await app.sessions.list('ada'), [])
})

t.test('app.sessions.login() after the reply opens and evicts no session', async (t) => {
  const memory = createMemoryStore()
  const created: string[] = []
  const store: SessionStore = {
    ...memory,
    async create(...args) {
      created.push(args[0])
      return memory.create(...args)
    }
  }
  const app = await createApp(t, { upstream: UPSTREAM, store, session: { maxPerUser: 1 } }, {}, (app) => {
    app.get('/answered', async (request, reply) => {
      reply.send('done')
      await app.sessions.login(request, reply, { id: 'ada' })
    })
  })
  const { session } = await app.sessions.create({ id: 'ada' })
  t.equal((await app.inject('/answered')).body, 'done')
  await new Promise(setImmediate)
  t.strictSame(created, [session.id])
  t.match(await app.sessions.list('ada'), [{ id: session.id }])
})

t.test('a route may end all sessions of a user and then log the same user in', async (t) => {
  const app = await createApp(t, { upstream: UPSTREAM }, {}, (app) => {
    app.get('/reset', async (request, reply) => {
      await app.sessions.revokeAll('ada')
      await delay(2)
      return app.sessions.login(request, reply, { id: 'ada' })
    })
  })
  const before = await logIn(app)
  const answer = await app.inject(withToken(before, { url: '/reset' }))
  t.equal(answer.statusCode, 200)
  t.equal((await app.inject(withToken(answer.json().access_token))).statusCode, 200)
  t.equal((await app.inject(withToken(before))).json().reason, 'revoked')
})

t.test('ttlSeconds of a login is the lifetime of the session, at most the option', async (t) => {
  const app = await createMagicApp(t, { session: { ttlSeconds: 1_000 } })
  t.equal((await app.inject(magic('ada', { ttlSeconds: 60 }))).json().expires_in, 60)
  const { token, session } = await app.sessions.create({ id: 'ada' }, { ttlSeconds: 60 })
  t.equal(session.expiresAt - session.createdAt, 60_000)
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  t.equal(claims.exp, Math.ceil(session.expiresAt / 1_000))
  const shown = (await app.inject(withToken(token, { url: '/user/session' }))).json()
  t.equal(shown.idle_expires_at, shown.expires_at, 'the idle expiry is not later')
  for (const ttlSeconds of [0, -1, 1.5, 1_001, '60', null, Number.NaN]) {
    await t.rejects(app.sessions.create({ id: 'ada' }, { ttlSeconds } as never), {
      code: 'FST_JWT_SESSION_INVALID_OPTION',
      option: 'ttlSeconds'
    })
  }
})

t.test('session.maxDataBytes bounds the data of a login and of an update', async (t) => {
  const app = await createMagicApp(t, { session: { maxDataBytes: 12 } })
  const code = 'FST_JWT_SESSION_INVALID_DATA'
  const ten = { a: '1234' }
  const { session } = await app.sessions.create({ id: 'ada' }, { data: ten })
  t.strictSame(session.data, ten)
  await t.rejects(app.sessions.create({ id: 'ada' }, { data: { a: '12345' } }), { code, message: /12 bytes/ })
  await t.rejects(app.sessions.create({ id: 'ada' }, { data: [] as never }), { code })
  await t.rejects(app.sessions.update(session.id, { b: 1 }), { code })
  const tooLong = await app.inject({
    method: 'POST',
    url: '/user/login',
    payload: { username: 'ada {"a":"12345"}', password: 'x' }
  })
  t.equal(tooLong.statusCode, 502)
  t.equal((await app.inject(magic('ada', { data: { a: '12345' } }))).json().code, code)
  t.equal((await app.sessions.list('ada')).length, 1)
  const none = await createMagicApp(t, { session: { maxDataBytes: 0 } })
  t.strictSame((await none.sessions.create({ id: 'ada' }, { data: {} })).session.data, {})
  await t.rejects(none.sessions.create({ id: 'ada' }, { data: { a: 1 } }), { code })
})

t.test('invalid session data of the upstream is 502', async (t) => {
  const { lines, logger } = createLog()
  const options = { upstream: UPSTREAM, session: { maxDataBytes: 12 } }
  const app = await createApp(t, options, { logger })
  for (const data of ['{"a":"12345"}', '[1]', '"text"', 'null']) {
    const payload = { username: `ada ${data}`, password: 'x' }
    const { statusCode, body } = await app.inject({ method: 'POST', url: '/user/login', payload })
    t.equal(statusCode, 502, data)
    t.match(JSON.parse(body), { code: 'FST_JWT_SESSION_UPSTREAM_INVALID' })
    const line = lines.find((line) => line.includes('FST_JWT_SESSION_UPSTREAM_INVALID')) ?? ''
    t.equal(JSON.parse(line).cause, 'login: The data of a session must be a JSON object of at most 12 bytes')
    t.notMatch(line, '12345')
    lines.length = 0
  }
  t.strictSame(await app.sessions.list('ada'), [])
})

t.test('data over a lowered limit is still copied to the new session', async (t) => {
  const store = createMemoryStore()
  const before = await createMagicApp(t, { store })
  const { token } = await before.sessions.create({ id: 'ada' }, { data: { a: 'x'.repeat(100) } })
  const now = await createMagicApp(t, { store, session: { maxDataBytes: 10 } })
  t.equal((await now.inject(withToken(token, magic('ada')))).statusCode, 200)
  t.match(await now.sessions.list('ada'), [{ data: { a: 'x'.repeat(100) } }])
})

t.test('updateUser() refuses a user that does not match userSchema or has another id', async (t) => {
  const app = await createMagicApp(t)
  const token = await logIn(app)
  const code = 'FST_JWT_SESSION_INVALID_USER'
  for (const user of [{ id: 'bob' }, { id: 'ada', role: 1 }, {}, null]) {
    await t.rejects(app.sessions.updateUser('ada', user as never), { code })
  }
  t.equal((await app.inject({ ...magic('ada'), payload: { user: { id: 1.5 } } })).json().code, code)
  t.equal((await app.inject(withToken(token))).json().user.role, undefined)
})

t.test('app.sessions has only the documented methods', async (t) => {
  const app = await createMagicApp(t, { jwt: { secret: SECRET } })
  const methods = [
    'create',
    'find',
    'isReady',
    'list',
    'login',
    'revoke',
    'revokeAll',
    'stats',
    'update',
    'updateUser',
    'verify',
    'watch'
  ]
  t.strictSame(Object.keys(app.sessions).sort(), methods)
})
