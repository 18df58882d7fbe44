import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStore, type JwtSessionOptions } from '../../lib/index.js'
import { createApp, logout, withToken } from '../fixtures/app.js'
import { createHost } from '../fixtures/host.js'
import { type EventsResponse, readEvents, readHttp2Events } from '../fixtures/read-events.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

const ON = { events: {} }
const HTTP2 = { http2: true } as unknown as object

async function listen(app: FastifyInstance): Promise<string> {
  return app.listen({ host: '127.0.0.1', port: 0 })
}

/** A listening app with event streams, and a session. */
async function openStream(t: Test, options: Partial<JwtSessionOptions> = {}) {
  const app = await createApp(t, { upstream, routes: ON, ...options })
  const url = await listen(app)
  const { token, session } = await app.sessions.create({ id: 'ada' })
  const headers = { authorization: `Bearer ${token}` }
  return { app, url, token, session, headers, stream: await readEvents(t, url, headers) }
}

const isSilent = ({ events, isOver }: EventsResponse) => events().length <= 1 && !isOver()

t.test('the first event is the expiry of the session, and proxies do not buffer the stream', async (t) => {
  const { stream, session } = await openStream(t)
  await until(() => stream.events().length > 0)
  t.equal(stream.status, 200)
  t.match(stream.headers, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
    connection: 'close'
  })
  t.equal(stream.headers['access-control-expose-headers'], undefined)
  const expiry = {
    expires_at: new Date(session.expiresAt).toISOString(),
    idle_expires_at: new Date(session.lastSeenAt + 1_800_000).toISOString()
  }
  t.equal(stream.text(), `retry: 1000\nevent: session\ndata: ${JSON.stringify(expiry)}\n\n`)
})

t.test('the end of the session is the last event, with the reason', async (t) => {
  const { app, stream, session, token } = await openStream(t)
  await app.sessions.revoke(session.id)
  await until(stream.isOver)
  t.strictSame(stream.events().slice(1), [{ event: 'ended', data: { reason: 'revoked' } }])
  t.equal((await app.inject(withToken(token))).statusCode, 401)
})

t.test('a new expiry is an event, and other changes of the session are not', async (t) => {
  const { app, stream, session, token } = await openStream(t, { session: { idleTimeoutSeconds: 2, ttlSeconds: 60 } })
  await app.sessions.update(session.id, { theme: 'dark' })
  await delay(500)
  t.ok(isSilent(stream))
  t.equal((await app.inject(withToken(token))).statusCode, 200)
  await until(() => stream.events().length > 1)
  const [first, second] = stream.events()
  t.equal(second?.event, 'session')
  t.notSame(first, second)
  await until(stream.isOver)
  t.strictSame(stream.events().at(-1), { event: 'ended', data: { reason: 'expired' } })
})

t.test('a session that ends between the guard and the watch is reported too', async (t) => {
  const store = createMemoryStore()
  const app = await createApp(t, { upstream, routes: ON, store })
  const url = await listen(app)
  const { token, session } = await app.sessions.create({ id: 'ada' })
  const find = store.find
  let finds = 0
  store.find = async (id) => {
    const found = await find(id)
    if (finds++ === 0) await store.end(session.id, 'revoked')
    return found
  }
  const stream = await readEvents(t, url, { authorization: `Bearer ${token}` })
  await until(stream.isOver)
  t.strictSame(stream.events().at(-1), { event: 'ended', data: { reason: 'revoked' } })
})

t.test('heartbeats keep the stream alive', async (t) => {
  const { stream } = await openStream(t, { routes: { events: { heartbeatSeconds: 5 } } })
  await until(() => stream.text().endsWith('\n\n:\n\n'), 60)
  t.notOk(stream.isOver())
})

t.test('a stream never extends the session', async (t) => {
  const { stream } = await openStream(t, { session: { idleTimeoutSeconds: 1, ttlSeconds: 60 } })
  await until(stream.isOver)
  t.strictSame(stream.events().slice(1), [{ event: 'ended', data: { reason: 'expired' } }])
})

t.test('without a live session the stream gets the error reply of the guard', async (t) => {
  const { app, token } = await openStream(t)
  const url = '/user/session/events'
  t.equal((await app.inject({ url })).json().code, 'FST_JWT_SESSION_MISSING')
  await app.inject(logout(token))
  const ended = await app.inject(withToken(token, { url }))
  t.equal(ended.statusCode, 401)
  t.equal(ended.headers['session-ended'], 'logged_out')
  t.equal(ended.headers['clear-site-data'], '"storage"')
  t.equal(ended.headers['cache-control'], 'no-store')
  t.equal((await app.inject(withToken(token, { url, method: 'HEAD' }))).statusCode, 404)
})

t.test('more than 50 streams of a user are answered 429, and other users are not', async (t) => {
  const { app, url, headers, stream } = await openStream(t)
  const others = await Promise.all(Array.from({ length: 49 }, () => readEvents(t, url, headers)))
  const refused = await app.inject({ url: '/user/session/events', headers })
  t.equal(refused.statusCode, 429)
  t.equal(refused.json().code, 'FST_JWT_SESSION_EVENTS_FULL')
  t.equal(refused.headers['retry-after'], '30')
  t.equal(refused.headers['clear-site-data'], undefined)
  const { token } = await app.sessions.create({ id: 'bob' })
  const bob = await readEvents(t, url, { authorization: `Bearer ${token}` })
  t.equal(bob.status, 200)
  stream.close()
  await until(async () => {
    const again = await readEvents(t, url, headers)
    return again.status === 200
  })
  t.ok(others.every(isSilent))
})

t.test('more than `maxOpen` streams are answered 503 until a stream closes', async (t) => {
  const { app, url, stream } = await openStream(t, { routes: { events: { maxOpen: 1 } } })
  const { token } = await app.sessions.create({ id: 'bob' })
  const headers = { authorization: `Bearer ${token}` }
  const refused = await readEvents(t, url, headers)
  t.equal(refused.status, 503)
  t.equal(refused.headers['retry-after'], '30')
  stream.close()
  await until(async () => (await readEvents(t, url, headers)).status === 200)
})

t.test('close() of the app ends the streams without an event', async (t) => {
  const { app, stream } = await openStream(t)
  await until(() => stream.events().length > 0)
  await app.close()
  await until(stream.isOver)
  t.equal(stream.events().length, 1)
})

t.test('over HTTP/2 the stream has no connection header', async (t) => {
  const app = await createApp(t, { upstream, routes: ON }, HTTP2)
  const url = await listen(app)
  const { token, session } = await app.sessions.create({ id: 'ada' })
  const { headers, events } = await readHttp2Events(t, url, { authorization: `Bearer ${token}` })
  t.equal(headers[':status'], 200)
  t.equal(headers.connection, undefined)
  await app.sessions.revoke(session.id)
  t.strictSame((await events).at(-1), { event: 'ended', data: { reason: 'revoked' } })
})

t.test('headers of CORS plugins reach the stream, and pages of other origins may read the Date header', async (t) => {
  const { default: cors } = await import('@fastify/cors')
  const { app } = await createHost(t, {
    options: { upstream, routes: ON },
    before: (app) => app.register(cors, { origin: ['https://app.example'] })
  })
  const url = await listen(app)
  const { token } = await app.sessions.create({ id: 'ada' })
  const headers = { authorization: `Bearer ${token}`, origin: 'https://app.example' }
  const stream = await readEvents(t, url, headers)
  t.equal(stream.headers['access-control-allow-origin'], 'https://app.example')
  t.equal(stream.headers['access-control-expose-headers'], 'Date')
})

t.test('a failed hook of the host leaves no stream open', async (t) => {
  const { app } = await createHost(t, {
    options: { upstream, routes: { events: { maxOpen: 1 } } },
    before: (app) =>
      app.addHook('onSend', async ({ headers }) => {
        if (headers['x-fail'] !== undefined) throw new Error('a hook')
      })
  })
  const url = await listen(app)
  const { token } = await app.sessions.create({ id: 'ada' })
  const headers = { authorization: `Bearer ${token}` }
  const failed = await readEvents(t, url, { ...headers, 'x-fail': '1' })
  t.equal(failed.status, 500)
  await until(async () => {
    const stream = await readEvents(t, url, headers)
    return stream.status === 200
  })
})

t.test('streams of several instances end together', async (t) => {
  const redis = await connectRedis(t)
  const apps = [await openStream(t, { redis }), await openStream(t, { redis })]
  const [first, second] = apps as [(typeof apps)[0], (typeof apps)[0]]
  const elsewhere = await readEvents(t, second.url, first.headers)
  await second.app.sessions.revoke(first.session.id)
  await until(() => first.stream.isOver() && elsewhere.isOver())
  t.ok(isSilent(second.stream), 'the stream of the other session stays open')
})

t.test('invalid options of the events route fail register()', async (t) => {
  const { track: _track, ...untracked } = createMemoryStore()
  const wrong: [string, Partial<JwtSessionOptions>][] = [
    ['routes.events.heartbeatSeconds', { routes: { events: { heartbeatSeconds: 4 } } }],
    ['routes.events.heartbeatSeconds', { routes: { events: { heartbeatSeconds: 301 } } }],
    ['routes.events.maxOpen', { routes: { events: { maxOpen: 0 } } }],
    ['routes.events', { store: untracked, routes: ON }],
    ['routes', { routes: { ...ON, session: { path: '/session/events' } } }]
  ]
  for (const [option, options] of wrong) {
    await t.rejects(createApp(t, { upstream, ...options }), { code: 'FST_JWT_SESSION_INVALID_OPTION', option })
  }
})

t.test('the cookie opens a stream', async (t) => {
  const app = await createApp(t, { upstream, routes: ON, cookie: {} })
  const url = await listen(app)
  const { token, session } = await app.sessions.create({ id: 'ada' })
  const stream = await readEvents(t, url, { cookie: `__Host-Http-session=${token}`, 'sec-fetch-site': 'same-origin' })
  t.equal(stream.status, 200)
  await app.sessions.revoke(session.id)
  await until(stream.isOver)
  t.strictSame(stream.events().at(-1), { event: 'ended', data: { reason: 'revoked' } })
})
