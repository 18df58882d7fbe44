import t from 'tap'
import { createMemoryStore, fastifyJwtSession, type SessionStore, verifySession } from '../../lib/index.js'
import { logIn, SECRET, withToken } from '../fixtures/app.js'
import { createGate } from '../fixtures/create-gate.js'
import { collectMessages } from '../fixtures/messages.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

t.test('the duration of a message is the time from the arrival to the outcome', async (t) => {
  const messages = collectMessages(t, (fault) => t.fail(fault))
  /** Held: a call of the upstream or of the store. */
  let held: ReturnType<typeof createGate> | undefined
  let started = createGate()
  const pass = async () => {
    started.open()
    await held?.opened
  }
  const memory = createMemoryStore()
  const find: SessionStore['find'] = (id) => pass().then(() => memory.find(id))
  const answer = () => pass().then(() => ({ user: { id: 'ada' } }))
  const app = createWatchedFastify(t)
  const upstream = { login: answer, register: answer }
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, store: { ...memory, find } })
  app.get('/me', { preHandler: verifySession }, async () => 'in')
  await app.ready()
  const token = await logIn(app)

  for (const [name, kind, ask] of [
    ['the guard', 'verify', () => app.inject(withToken(token))],
    ['app.sessions.verify()', 'verify', () => app.sessions.verify(token)],
    ['a login', 'login', () => app.inject(postJson('/user/login', CREDENTIALS))],
    ['a registration', 'register', () => app.inject(postJson('/user/register', CREDENTIALS))]
  ] as const) {
    started = createGate()
    held = createGate()
    const before = performance.now()
    const asking = ask()
    await started.opened
    const from = performance.now()
    while (performance.now() - from < 2) await new Promise(setImmediate)
    const to = performance.now()
    held.open()
    await asking
    const { durationMs = 0 } = messages[kind].at(-1) ?? {}
    t.ok(durationMs >= to - from, `${name}: not without the call`)
    t.ok(durationMs <= performance.now() - before, `${name}: not more than the request`)
  }
})

t.test('a login that fails by an error of the application itself has no message', async (t) => {
  const { login } = collectMessages(t, (fault) => t.fail(fault))
  const app = createWatchedFastify(t)
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream: { login: async () => ({ user: { id: 'ada' } }) }
  })
  const options = {
    get data(): never {
      throw new TypeError('A getter of the application')
    }
  }
  app.post('/magic', async (request, reply) => app.sessions.login(request, reply, { id: 'ada' }, options))
  t.equal((await app.inject({ method: 'POST', url: '/magic' })).statusCode, 500)
  t.strictSame(login, [])
})
