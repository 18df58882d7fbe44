import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import {
  createMemoryStore,
  fastifyJwtSession,
  type JwtSessionOptions,
  type LoginMessage,
  SessionNotFoundError
} from '../../lib/index.js'
import { SECRET } from '../fixtures/app.js'
import { createGate } from '../fixtures/create-gate.js'
import { httpPost, listen } from '../fixtures/listen.js'
import { collectMessages } from '../fixtures/messages.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { until } from '../fixtures/until.js'
import { PASSWORD, startUpstream } from '../fixtures/upstream.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

/** An app whose upstream answers with the status that the username says, and the messages. */
async function createScene(t: Test, options: Partial<JwtSessionOptions> = {}) {
  const upstream = await startUpstream(t, (request, response) => {
    request.once('data', (body) => {
      const { username } = JSON.parse(body)
      const status = Number(username) || 200
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ user: { id: username } }))
    })
  })
  const kept = createMemoryStore()
  t.teardown(() => kept.close())
  const messages = collectMessages(t, (fault) => t.fail(fault))
  const app = createWatchedFastify(t)
  const { login, register } = messages
  app.post<{ Body: { id: string; ttlSeconds?: number } }>('/magic', async (request, reply) => {
    const { id, ttlSeconds } = request.body
    return app.sessions.login(request, reply, { id }, { ttlSeconds })
  })
  const own = { jwt: { secret: SECRET }, upstream: { baseUrl: upstream.baseUrl, timeoutMs: 1_000 } }
  await app.register(fastifyJwtSession, { ...own, store: kept, ...options })
  return { app, kept, login, register }
}

const without = (messages: LoginMessage[]) => messages.splice(0).map(({ durationMs, ...message }) => message)

async function post(app: FastifyInstance, url: string, body: unknown, headers: Record<string, string> = {}) {
  return (await app.inject(postJson(url, body, headers))).statusCode
}

t.test('a login whose response is changed by a hook of the host has one message', async (t) => {
  const { app, login } = await createScene(t)
  app.addHook('onSend', async () => {
    throw new SessionNotFoundError()
  })
  t.equal(await post(app, '/user/login', CREDENTIALS), 404)
  t.equal(login.length, 1)
})

t.test('each login has one message with the outcome, and a user id when the upstream has accepted', async (t) => {
  const { app, kept, login, register } = await createScene(t, {
    session: { maxPerUser: 1, onMaxPerUser: 'reject' },
    cookie: {}
  })
  const logIn = async (body: unknown, headers: Record<string, string> = {}) => [
    await post(app, '/user/login', body, { 'sec-fetch-site': 'same-origin', ...headers }),
    ...without(login)
  ]
  const user = (username: string) => ({ username, password: PASSWORD })
  t.strictSame(await logIn(user('ada')), [200, { outcome: 'ok', userId: 'ada' }])
  t.strictSame(await logIn(user('ada')), [409, { outcome: 'limit', userId: 'ada' }])
  t.strictSame(await logIn(user('401')), [401, { outcome: 'rejected' }])
  t.strictSame(await logIn(user('429')), [429, { outcome: 'limit' }])
  for (const status of ['500', '503']) {
    t.match(await logIn(user(status)), [status === '500' ? 502 : 503, { outcome: 'unavailable', userId: undefined }])
  }
  t.strictSame(await logIn({ username: PASSWORD }), [400, { outcome: 'invalid' }])
  t.strictSame(await logIn('{'), [400, { outcome: 'invalid' }])
  t.strictSame(await logIn('x=1', { 'content-type': 'text/plain' }), [415, { outcome: 'invalid' }])
  t.strictSame(await logIn('x'.repeat(17_000)), [413, { outcome: 'invalid' }])
  t.strictSame(await logIn(user('ada'), { 'sec-fetch-site': 'cross-site' }), [403, { outcome: 'invalid' }])
  kept.create = async () => Promise.reject(new Error('down'))
  t.strictSame(await logIn(user('eve')), [503, { outcome: 'unavailable', userId: 'eve' }])
  t.strictSame(register, [])
})

t.test('each registration has one message', async (t) => {
  const { app, login, register } = await createScene(t)
  const signUp = async (username: string) => [
    await post(app, '/user/register', { username, password: PASSWORD }),
    ...without(register)
  ]
  t.strictSame(await signUp('ada'), [201, { outcome: 'ok', userId: 'ada' }])
  t.strictSame(await signUp('204'), [201, { outcome: 'ok' }], 'without a user in the response of the upstream')
  t.strictSame(await signUp('409'), [409, { outcome: 'rejected' }])
  t.strictSame(await signUp('429'), [429, { outcome: 'limit' }])
  t.strictSame(await signUp('500'), [502, { outcome: 'unavailable' }])
  t.equal(await post(app, '/user/register', {}), 400)
  t.strictSame(without(register), [{ outcome: 'invalid' }])
  t.strictSame(login, [])
})

t.test('app.sessions.login() has the same messages, and app.sessions.create() has none', async (t) => {
  const { app, kept, login } = await createScene(t, { session: { maxPerUser: 1, onMaxPerUser: 'reject' } })
  const logIn = async (id: unknown, ttlSeconds?: number) => [
    await post(app, '/magic', { id, ttlSeconds }),
    ...without(login)
  ]
  t.strictSame(await logIn('ada'), [200, { outcome: 'ok', userId: 'ada' }])
  t.strictSame(await logIn('ada'), [409, { outcome: 'limit', userId: 'ada' }])
  t.strictSame(await logIn(''), [500, { outcome: 'unavailable' }], 'the application passed no user')
  t.strictSame(await logIn('eve', -1), [500, { outcome: 'unavailable', userId: 'eve' }])
  kept.create = async () => 'revoked'
  t.strictSame(await logIn('eve'), [401, { outcome: 'rejected', userId: 'eve' }])
  kept.create = async () => 'created'
  await app.sessions.create({ id: 'grace' })
  t.strictSame(login, [])
})

t.test('a client that has disconnected has no message', async (t) => {
  const gate = createGate()
  const started = createGate()
  const login = async () => {
    started.open()
    await gate.opened
    return { user: { id: 'ada' } }
  }
  const messages = collectMessages(t, (fault) => t.fail(fault))
  const app = createWatchedFastify(t)
  let isClosed = false
  app.addHook('onRequest', async (_request, reply) => {
    reply.raw.once('close', () => {
      isClosed = true
    })
  })
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream: { login } })
  const { dial } = await listen(t, app)
  const { socket } = dial()
  const body = JSON.stringify(CREDENTIALS)
  socket.write(httpPost('/user/login', ['Content-Type: application/json', `Content-Length: ${body.length}`], body))
  await started.opened
  socket.destroy()
  await until(() => isClosed)
  gate.open()
  await app.close()
  t.strictSame(messages.login, [])
})

t.test('what a host answers by itself is no login', async (t) => {
  const messages = collectMessages(t, (fault) => t.fail(fault))
  const app = createWatchedFastify(t)
  app.addHook('preHandler', async () => {
    throw Object.assign(new Error('Too many requests'), { statusCode: 429 })
  })
  const upstream = { login: async () => ({ user: { id: 'ada' } }) }
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream })
  t.equal(await post(app, '/user/login', CREDENTIALS), 429)
  t.strictSame(messages.login, [])
})

t.test('a login whose response a host spoils has one message', async (t) => {
  const messages = collectMessages(t, (fault) => t.fail(fault))
  const app = createWatchedFastify(t)
  app.addHook('preSerialization', async () => {
    throw new Error('spoiled')
  })
  const upstream = { login: async () => ({ user: { id: 'ada' } }) }
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream })
  t.equal(await post(app, '/user/login', CREDENTIALS), 500)
  t.match(messages.login, [{ outcome: 'ok' }])
  t.equal(messages.login.length, 1)
})
