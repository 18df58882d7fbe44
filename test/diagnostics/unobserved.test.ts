import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { attemptOf, startAttempt } from '../../lib/diagnostics/attempt.js'
import { Channel, logins } from '../../lib/diagnostics/channels.js'
import { startVerification } from '../../lib/diagnostics/verification.js'
import { createMemoryStore, fastifyJwtSession, verifySession } from '../../lib/index.js'
import { logIn, logout, SECRET, withToken } from '../fixtures/app.js'
import { CHANNELS, collectMessages, subscribeUntilTeardown } from '../fixtures/messages.js'
import { upstream } from '../fixtures/tokens.js'

/** An app without logs, whose requests meet every channel but `breaker`. */
async function createScene(t: Test) {
  const app = Fastify()
  t.teardown(() => app.close())
  const { login } = upstream
  const register = async () => ({ user: { id: 'ada' } })
  const breaker = { store: { failures: 1, probeAfterMs: 1 } }
  const memory = createMemoryStore()
  const state = { isDown: false }
  const store = {
    ...memory,
    find: async (id: string) => (state.isDown ? Promise.reject(new Error('down')) : memory.find(id))
  }
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream: { login, register }, store, breaker })
  app.get('/me', { preHandler: verifySession }, async () => 'in')
  app.post('/magic', async (request, reply) => app.sessions.login(request, reply, { id: 'ada' }))
  await app.ready()
  return { app, state }
}

async function visitAll({ app, state }: { app: FastifyInstance; state: { isDown: boolean } }): Promise<number[]> {
  const token = await logIn(app)
  const requests = [
    withToken(token),
    { url: '/me' },
    { method: 'POST', url: '/user/register', payload: { username: 'ada', password: 'any' } } as const,
    withToken(token, { method: 'POST', url: '/magic' }),
    { method: 'POST', url: '/user/login', payload: {} } as const,
    logout(token)
  ]
  const statuses = []
  for (const request of requests) statuses.push((await app.inject(request)).statusCode)
  await app.sessions.verify(await logIn(app))
  await app.sessions.revokeAll('ada')
  const last = await logIn(app)
  state.isDown = true
  await app.sessions.verify(last).catch(() => {})
  state.isDown = false
  return statuses
}

const STATUSES = [200, 401, 201, 200, 400, 204]

t.test('without a subscriber no message is made, and no clock is started', async (t) => {
  const scene = await createScene(t)
  const published = t.capture(Channel.prototype, 'publish')
  const unread = {
    get routeOptions(): never {
      throw new Error('A field of the request was read')
    }
  }
  t.equal(startVerification(unread), null)
  startAttempt(logins)(unread, null, () => {})
  t.equal(attemptOf(unread), undefined)
  t.strictSame(await visitAll(scene), STATUSES)
  t.strictSame(published(), [])
  published.restore()

  const messages = collectMessages(t, (fault) => t.fail(fault))
  await visitAll(scene)
  for (const [name, seen] of Object.entries(messages)) t.ok(seen.length > 0, `with a subscriber ${name} has messages`)
})

t.test('a subscriber of one channel causes no message of another channel', async (t) => {
  for (const name of CHANNELS) {
    await t.test(name, async (t) => {
      const scene = await createScene(t)
      const published = t.capture(Channel.prototype, 'publish', Channel.prototype.publish)
      let seen = 0
      subscribeUntilTeardown(t, name, () => seen++)
      await visitAll(scene)
      t.ok(seen > 0)
      t.equal(published().length, seen)
    })
  }
})

t.test('a subscriber that throws breaks no request: the process gets the exception', async (t) => {
  const scene = await createScene(t)
  const thrown: unknown[] = []
  process.setUncaughtExceptionCaptureCallback((error) => thrown.push(error))
  t.teardown(() => process.setUncaughtExceptionCaptureCallback(null))
  for (const name of CHANNELS) {
    subscribeUntilTeardown(t, name, () => {
      throw new Error(`The subscriber of ${name}`)
    })
  }
  const messages = collectMessages(t, (fault) => t.fail(fault))
  t.strictSame(await visitAll(scene), STATUSES)
  await new Promise(setImmediate)
  const told = new Set(thrown.map((error) => (error as Error).message))
  t.strictSame(told, new Set(CHANNELS.map((name) => `The subscriber of ${name}`)))
  t.ok(
    Object.values(messages).every(({ length }) => length > 0),
    'other subscribers get the messages'
  )
})

t.test('a message cannot be changed by a subscriber', async (t) => {
  const scene = await createScene(t)
  const refused: unknown[] = []
  for (const name of CHANNELS) {
    subscribeUntilTeardown(t, name, (message) => {
      try {
        Object.assign(message as object, { outcome: 'changed', state: 'changed', by: 'changed' })
      } catch (error) {
        refused.push(error)
      }
    })
  }
  const messages = collectMessages(t, (fault) => t.fail(fault))
  await visitAll(scene)
  t.equal(refused.length, Object.values(messages).flat().length)
})
