import { once } from 'node:events'
import { get } from 'node:http'
import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { SessionEndedError } from '../../lib/index.js'
import { countWatched } from '../fixtures/count-watched.js'
import { createHost } from '../fixtures/host.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

interface Scene {
  app: FastifyInstance
  url: string
  token: string
  id: string
  /** Signals that handlers have read. */
  signals: AbortSignal[]
}

async function createScene(t: Test): Promise<Scene> {
  const signals: AbortSignal[] = []
  const take = ({ session }: FastifyRequest) => {
    signals.push(session.signal)
    return session.signal
  }
  const { app } = await createHost(t, {
    options: { upstream },
    before: (app) => app.register(websocket),
    after(app) {
      app.get('/wait', { preHandler: app.verifySession }, (request, reply) => {
        take(request).addEventListener('abort', () => {
          // A returned reply would be treated as a promise.
          reply.send({ reason: request.session.signal.reason.reason })
        })
      })
      app.get('/quick', { preHandler: app.verifySession }, async (request) => {
        const [first, second] = [take(request), take(request)]
        return { isSame: first === second }
      })
      app.get('/socket', { preHandler: app.verifySession, websocket: true }, (socket, request) => {
        take(request).addEventListener('abort', () => socket.close(4_001, 'session ended'))
      })
    }
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { token, session } = await app.sessions.create({ id: 'ada' })
  return { app, url, token, id: session.id, signals }
}

t.test('the signal aborts with the SessionEndedError when the session ends', async (t) => {
  const { app, token, id, signals } = await createScene(t)
  const waiting = app.inject({ url: '/wait', headers: { authorization: `Bearer ${token}` } })
  await until(() => signals.length === 1)
  t.notOk(signals[0]?.aborted)
  await app.sessions.revoke(id)
  t.strictSame((await waiting).json(), { reason: 'revoked' })
  t.ok(signals[0]?.reason instanceof SessionEndedError)
})

t.test('a WebSocket closes when the session ends', async (t) => {
  const { app, url, token, id } = await createScene(t)
  const socket = new WebSocket(url.replace('http', 'ws').concat('/socket'), {
    headers: { authorization: `Bearer ${token}` }
  })
  await once(socket, 'open')
  await app.sessions.revoke(id)
  const [code, reason] = await once(socket, 'close')
  t.equal(code, 4_001)
  t.equal(String(reason), 'session ended')
})

t.test('no session is watched after the response, the request or the socket has closed', async (t) => {
  const countNow = countWatched(t)
  const { app, url, token, signals } = await createScene(t)
  const headers = { authorization: `Bearer ${token}` }
  t.equal((await app.inject({ url: '/quick', headers })).json().isSame, true)
  t.equal((await fetch(`${url}/quick`, { headers })).status, 200)
  await until(() => countNow() === 0)

  const request = get(`${url}/wait`, { headers })
  request.on('error', () => {})
  await until(() => countNow() === 1)
  request.destroy()
  await until(() => countNow() === 0)

  const socket = new WebSocket(url.replace('http', 'ws').concat('/socket'), { headers })
  await once(socket, 'open')
  t.equal(countNow(), 1)
  socket.close()
  await until(() => countNow() === 0)
  t.ok(signals.every(({ aborted }) => !aborted))
})

t.test('a signal that is first read after the response never aborts, and watches no session', async (t) => {
  const countNow = countWatched(t)
  const { app } = await createHost(t, {
    options: { upstream },
    after(app) {
      app.get('/late', { preHandler: app.verifySession }, async (request) => {
        void until(() => request.raw.socket.destroyed).then(() => signals.push(request.session.signal))
        return {}
      })
    }
  })
  const signals: AbortSignal[] = []
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { token, session } = await app.sessions.create({ id: 'ada' })
  await fetch(`${url}/late`, { headers: { authorization: `Bearer ${token}`, connection: 'close' } })
  await until(() => signals.length === 1)
  await app.sessions.revoke(session.id)
  t.equal(signals[0]?.aborted, false)
  t.equal(countNow(), 0)
})
