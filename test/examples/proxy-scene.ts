import type { AddressInfo } from 'node:net'
import httpProxy from '@fastify/http-proxy'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import { sessionProxy } from '../../examples/session-proxy.js'
import type { JwtSessionOptions } from '../../lib/index.js'
import { createHost } from '../fixtures/host.js'
import { type RawResponse, sendRaw } from '../fixtures/raw-http.js'
import { type Service, startService } from './start-service.js'

export const COOKIE = '__Host-Http-session'

/** An app with `sessionProxy()` that listens, and the service behind it. */
export interface ProxyScene {
  app: FastifyInstance
  service: Service
  port: number
  url: string
  token: string
  sessionId: string
  /** Sends a request with header lines that no client would send, as the user. */
  send(requestLine: string, lines?: string[], body?: string): Promise<RawResponse>
}

interface SceneOptions {
  redis?: Redis
  userId?: string
  options?: Partial<JwtSessionOptions>
  server?: FastifyServerOptions
  /** In place of options of `sessionProxy()`. */
  overrides?: (options: ReturnType<typeof sessionProxy>) => object
}

/** `/orders` is behind the guard. */
export async function createProxyScene(t: Test, scene: SceneOptions = {}): Promise<ProxyScene> {
  const { redis, userId = 'ada', options = {}, server = {}, overrides = () => ({}) } = scene
  const service = await startService(t)
  const proxy = sessionProxy()
  const { app } = await createHost(t, {
    server,
    options: { cookie: {}, ...(redis && { redis }), ...options },
    after: (app) => app.register(httpProxy, { ...proxy, ...overrides(proxy), prefix: '/orders', upstream: service.url })
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.server.closeAllConnections())
  const { port } = app.server.address() as AddressInfo
  const { token, session } = await app.sessions.create({ id: userId })
  const send = (requestLine: string, lines: string[] = [], body = '') =>
    sendRaw(t, port, requestLine, ['Host: 127.0.0.1', `Authorization: Bearer ${token}`, ...lines], body)
  return { app, service, port, url: `http://127.0.0.1:${port}`, token, sessionId: session.id, send }
}

/** Fails the test when an answer would log a client out. */
export function assertNoClearSignal(t: Test, { headers }: RawResponse): void {
  t.strictSame(
    headers.filter(([name]) => name === 'session-ended' || name === 'clear-site-data'),
    []
  )
}
