import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { createConnection, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import {
  createMemoryStore,
  fastifyJwtSession,
  type JwtSessionOptions,
  type SessionStore,
  type UpstreamClient,
  type UpstreamContext
} from '../../lib/index.js'
import { SECRET } from '../fixtures/app.js'
import { createGate } from '../fixtures/create-gate.js'
import { httpPost, listen } from '../fixtures/listen.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS } from '../fixtures/post-json.js'
import { type RawRequest, startRawUpstream } from '../fixtures/raw-upstream.js'
import { until } from '../fixtures/until.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const BODY = JSON.stringify(CREDENTIALS)
const REQUEST_HEADERS = ['Content-Type: application/json', `Content-Length: ${BODY.length}`]

/** An upstream that accepts every login and counts the calls. */
function createCountingUpstream() {
  let calls = 0
  const upstream: UpstreamClient = {
    async login() {
      calls += 1
      return { user: { id: 'ada' } }
    }
  }
  return { upstream, callCount: () => calls }
}

/** A memory store with the ids of all sessions and of the live sessions. */
function createCountingStore() {
  const memory = createMemoryStore()
  const created: string[] = []
  const live = new Set<string>()
  return {
    created,
    live,
    ...memory,
    async create(...args: Parameters<SessionStore['create']>) {
      const [id] = args
      created.push(id)
      live.add(id)
      return memory.create(...args)
    },
    async end(...args: Parameters<SessionStore['end']>) {
      live.delete(args[0])
      return memory.end(...args)
    }
  }
}

/** A counting store whose create() opens the gate `writing`, then waits for the gate `write`. */
function createHeldStore() {
  const [writing, write] = [createGate(), createGate()]
  const counting = createCountingStore()
  const store = {
    ...counting,
    async create(...args: Parameters<SessionStore['create']>) {
      writing.open()
      await write.opened
      return counting.create(...args)
    }
  }
  return { counting, writing, write, store }
}

/** A listening app, with functions that send a login and hang up. */
async function start(
  t: Test,
  options: Pick<JwtSessionOptions, 'upstream' | 'store'>,
  before: (app: FastifyInstance) => unknown = () => {}
) {
  const { lines, logger } = createLog()
  const app = createWatchedFastify(t, { logger })
  await before(app)
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, ...options })
  const served = new Set<Socket>()
  app.server.on('connection', (socket) => served.add(socket.once('close', () => served.delete(socket))))
  const { dial } = await listen(t, app)
  return {
    app,
    lines,
    /** Whether the log has a request whose client hung up. */
    isGone: () => lines.some((line) => line.includes('FST_JWT_SESSION_CLIENT_GONE')),
    send(route = 'login', headers: string[] = []) {
      const connection = dial()
      connection.socket.write(httpPost(`/user/${route}`, [...REQUEST_HEADERS, ...headers], BODY))
      return connection
    },
    /** Hangs up, and waits until the server has closed the socket. */
    async hangUp(socket: Socket) {
      socket.destroy()
      await until(() => served.size === 0)
    }
  }
}

for (const route of ['login', 'register']) {
  t.test(`the call of the upstream is aborted when the client hangs up: ${route}`, async (t) => {
    const upstream = await startRawUpstream(t)
    const store = createCountingStore()
    const { baseUrl } = upstream
    const { send, hangUp, lines, isGone } = await start(t, { upstream: { baseUrl, timeoutMs: 60_000 }, store })
    upstream.answers.push(() => {})
    const { socket } = send(route)
    await until(() => upstream.requests.length === 1)
    const { socket: upstreamSocket } = upstream.requests[0] as RawRequest
    await hangUp(socket)
    await until(() => !upstream.sockets.has(upstreamSocket))
    await until(isGone)
    t.equal(store.created.length, 0)
    t.equal(upstream.requests.length, 1, 'the upstream is not called again')
    t.strictSame(
      lines.filter((line) => /"level":[56]0/.test(line)),
      [],
      'no error is logged'
    )
  })
}

t.test(
  'the signal of an UpstreamClient aborts when the client hangs up, and a late user opens no session',
  async (t) => {
    const called = createGate()
    const answer = createGate()
    let signal: AbortSignal | undefined
    const upstream: UpstreamClient = {
      async login(_credentials, context) {
        signal = context.signal
        called.open()
        await answer.opened
        return { user: { id: 'ada' } }
      }
    }
    const store = createCountingStore()
    const { send, hangUp, isGone } = await start(t, { upstream, store })
    const { socket } = send()
    await called.opened
    t.equal(signal?.aborted, false)
    await hangUp(socket)
    t.equal(signal?.aborted, true)
    answer.open()
    await until(isGone)
    t.equal(store.created.length, 0)
  }
)

t.test('a session is ended when the client hung up during create()', async (t) => {
  const upstream = await startRawUpstream(t)
  const { counting, writing, write, store } = createHeldStore()
  const { send, hangUp, isGone } = await start(t, { upstream: { baseUrl: upstream.baseUrl }, store })
  const { socket } = send()
  await writing.opened
  await hangUp(socket)
  write.open()
  await until(isGone)
  t.equal(counting.created.length, 1)
  await until(() => counting.live.size === 0)
})

t.test('the end of an abandoned session is retried until the store acknowledges the end', async (t) => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', listener)
  t.teardown(() => process.off('unhandledRejection', listener))
  const upstream = await startRawUpstream(t)
  const { counting, writing, write, store: held } = createHeldStore()
  const reasons: string[] = []
  const store = {
    ...held,
    async end(...args: Parameters<SessionStore['end']>) {
      reasons.push(args[1])
      if (reasons.length < 3) throw new Error('The store is read-only')
      return counting.end(...args)
    }
  }
  const { send, hangUp, isGone } = await start(t, { upstream: { baseUrl: upstream.baseUrl }, store })
  const { socket } = send()
  await writing.opened
  await hangUp(socket)
  write.open()
  await until(isGone)
  await until(() => counting.created.length === 1 && counting.live.size === 0)
  t.strictSame(reasons, ['revoked', 'revoked', 'revoked'])
  t.strictSame(unhandled, [])
})

t.test("another user's session of the request stays live when the client hangs up during create()", async (t) => {
  const [writing, write] = [createGate(), createGate()]
  const counting = createCountingStore()
  let isHeld = false
  const store = {
    ...counting,
    async create(...args: Parameters<SessionStore['create']>) {
      if (!isHeld) return counting.create(...args)
      writing.open()
      await write.opened
      return counting.create(...args)
    }
  }
  const { app, send, hangUp, isGone } = await start(t, {
    upstream: { login: async () => ({ user: { id: 'ada' } }) },
    store
  })
  const { token, session } = await app.sessions.create({ id: 'bob' })
  isHeld = true
  const { socket } = send('login', [`Authorization: Bearer ${token}`])
  await writing.opened
  await hangUp(socket)
  write.open()
  await until(isGone)
  await until(() => counting.created.length === 2 && counting.live.size === 1)
  t.strictSame([...counting.live], [session.id])
})

t.test('no session is opened when the client hangs up during a hook of the host', async (t) => {
  for (const hook of ['preValidation', 'preHandler'] as const) {
    await t.test(hook, async (t) => {
      const reached = createGate()
      const release = createGate()
      const { upstream, callCount } = createCountingUpstream()
      const store = createCountingStore()
      const { send, hangUp, isGone } = await start(t, { upstream, store }, (app) =>
        app.addHook(hook, async () => {
          reached.open()
          await release.opened
        })
      )
      const { socket } = send()
      await reached.opened
      await hangUp(socket)
      release.open()
      await until(() => isGone() || store.created.length > 0)
      t.equal(store.live.size, 0, 'no session is live')
      t.equal(callCount(), 0, 'the upstream is not called')
    })
  }
})

t.test('the session of the request stays live when the client hangs up during the login', async (t) => {
  const upstream = await startRawUpstream(t)
  const store = createCountingStore()
  const { app, send, hangUp, isGone } = await start(t, { upstream: { baseUrl: upstream.baseUrl }, store })
  const { token, session } = await app.sessions.create({ id: 'ada' })
  upstream.answers.push(() => {})
  const { socket } = send('login', [`Authorization: Bearer ${token}`])
  await until(() => upstream.requests.length === 1)
  await hangUp(socket)
  await until(isGone)
  t.strictSame([...store.live], [session.id])
})

t.test('over HTTP/2 no session is opened when the client hangs up during a hook of the host', async (t) => {
  const [reached, release] = [createGate(), createGate()]
  const { upstream, callCount } = createCountingUpstream()
  const store = createCountingStore()
  const { lines, logger } = createLog()
  const app = createWatchedFastify(t, { http2: true, logger })
  app.addHook('preHandler', async () => {
    reached.open()
    await release.opened
  })
  await app.register(fastifyJwtSession as never, { jwt: { secret: SECRET }, store, upstream } as never)
  const session = connect(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.teardown(() => session.destroy())
  const headers = { ':method': 'POST', ':path': '/user/login', 'content-type': 'application/json' }
  const stream = session.request(headers)
  stream.on('error', () => {}).end(BODY)
  await reached.opened
  stream.close(constants.NGHTTP2_CANCEL)
  await once(stream, 'close')
  // HTTP/2 frames are handled in order: after the ping the server has seen the cancel.
  await new Promise((resolve) => session.ping(resolve))
  release.open()
  await until(() => lines.some((line) => line.includes('FST_JWT_SESSION_CLIENT_GONE')) || store.created.length > 0)
  t.equal(store.live.size, 0, 'no session is live')
  t.equal(callCount(), 0, 'the upstream is not called')
})

/** How a client over HTTP/2 can hang up during a login. */
const HANG_UPS: Record<string, (session: ClientHttp2Session, stream: ClientHttp2Stream, socket: Socket) => void> = {
  'the stream is cancelled': (_session, stream) => stream.close(constants.NGHTTP2_CANCEL),
  'the stream is closed without an error': (_session, stream) => stream.close(constants.NGHTTP2_NO_ERROR),
  'the stream is destroyed': (_session, stream) => stream.destroy(),
  'the session is destroyed': (session) => session.destroy(),
  'the socket is destroyed': (_session, _stream, socket) => socket.destroy()
}

for (const [name, hangUp] of Object.entries(HANG_UPS)) {
  for (const route of ['login', 'register']) {
    t.test(`over HTTP/2 the call of the upstream is aborted when the client hangs up: ${route}, ${name}`, async (t) => {
      const [called, answer] = [createGate(), createGate()]
      let signal: AbortSignal | undefined
      async function call(_body: unknown, context: UpstreamContext) {
        signal = context.signal
        called.open()
        await answer.opened
        return { user: { id: 'ada' } }
      }
      const store = createCountingStore()
      const { lines, logger } = createLog()
      const app = createWatchedFastify(t, { http2: true, logger })
      await app.register(
        fastifyJwtSession as never,
        { jwt: { secret: SECRET }, store, upstream: { login: call, register: call } } as never
      )
      const url = await app.listen({ host: '127.0.0.1', port: 0 })
      const socket = createConnection(Number(new URL(url).port), '127.0.0.1')
      const session = connect(url, { createConnection: () => socket }).on('error', () => {})
      t.teardown(() => session.destroy())
      const headers = { ':method': 'POST', ':path': `/user/${route}`, 'content-type': 'application/json' }
      const stream = session.request(headers).on('error', () => {})
      stream.end(BODY)
      await called.opened
      hangUp(session, stream, socket)
      await until(() => signal?.aborted === true)
      answer.open()
      await until(() => lines.some((line) => line.includes('FST_JWT_SESSION_CLIENT_GONE')))
      t.equal(store.created.length, 0)
    })
  }
}

t.test('the session is ended when the client hangs up while the reply waits in a hook of the host', async (t) => {
  for (const http2 of [false, true]) {
    const [inHook, sent] = [createGate(), createGate()]
    const store = createCountingStore()
    const app = createWatchedFastify(t, http2 ? { http2 } : {})
    app.addHook('onSend', async () => {
      inHook.open()
      await sent.opened
    })
    const upstream: UpstreamClient = { login: async () => ({ user: { id: 'ada' } }) }
    await app.register(fastifyJwtSession as never, { jwt: { secret: SECRET }, store, upstream } as never)
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    if (http2) {
      const session = connect(url).on('error', () => {})
      const headers = { ':method': 'POST', ':path': '/user/login', 'content-type': 'application/json' }
      session
        .request(headers)
        .on('error', () => {})
        .end(BODY)
      await inHook.opened
      session.destroy()
    } else {
      const socket = createConnection(Number(new URL(url).port), '127.0.0.1')
      socket.write(httpPost('/user/login', REQUEST_HEADERS, BODY))
      await inHook.opened
      socket.destroy()
    }
    await until(() => store.created.length === 1 && store.live.size === 0)
    sent.open()
  }
})
