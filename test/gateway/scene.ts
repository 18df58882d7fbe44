import { generateKeyPairSync } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastifyWebsocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { createMemoryStore, fastifyJwtSession, type JwtSessionOptions, type Session } from '../../lib/index.js'
import { SECRET } from '../fixtures/planted-secrets.js'
import { type RawResponse, sendRaw } from '../fixtures/raw-http.js'
import { startUpstream } from '../fixtures/upstream.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'
import { type Changes, type Gateway, type ProxyName, startGateway } from './programs.js'

/** What the service behind the gateway was sent. */
export interface ServiceRequest {
  method: string
  url: string
  headers: IncomingHttpHeaders
  body: string
}

/** In place of a request that has not reached the service. */
export const NO_REQUEST: ServiceRequest = { method: '', url: '', headers: {}, body: '' }

/** An authenticator, a service that knows nothing of sessions, and a proxy with its example between them. */
export interface Scene {
  authenticator: FastifyInstance
  gateway: Gateway
  /** Requests that have reached the service. */
  served: ServiceRequest[]
  /** Method and protocol of each upgrade that the service was asked for. */
  upgrades: string[]
  store: { isDown: boolean }
  open(userId?: string): Promise<{ token: string; session: Session }>
  /** A request by `fetch`, which keeps its connections open. */
  visit(path: string, init?: RequestInit & { token?: string }): Promise<Response>
  /** A request with any header lines. */
  send(line: string, lines?: string[], body?: string): Promise<RawResponse>
}

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string

/** The public key of the identity tokens. */
export { publicKey }

export interface SceneOptions {
  options?: Partial<JwtSessionOptions>
  changes?: Changes
  /** Options of the authenticator's Fastify. */
  server?: FastifyServerOptions
  /** Claims of the identity tokens. */
  claims?: () => Record<string, unknown>
  /** What the application of the authenticator adds before the plugin. */
  before?: (app: FastifyInstance) => unknown
  /** The port of another service. Default: the service of the scene. */
  servicePort?: number
}

export async function startScene(t: Test, proxy: ProxyName, given: SceneOptions = {}): Promise<Scene> {
  const store = { isDown: false }
  const authenticator = await startAuthenticator(t, store, given)
  const served: ServiceRequest[] = []
  const upgrades: string[] = []
  const service = await startService(t, served, upgrades)
  const ports = { authenticator: portOf(authenticator), service: given.servicePort ?? portOf(service) }
  const gateway = await startGateway(t, proxy, ports, given.changes)
  return {
    authenticator,
    gateway,
    served,
    upgrades,
    store,
    open: (id = 'ada') => authenticator.sessions.create({ id }),
    visit: (path, { token, headers, ...init } = {}) =>
      fetch(`http://127.0.0.1:${gateway.port}${path}`, {
        ...init,
        redirect: 'manual',
        headers: { ...(headers as Record<string, string>), ...(token && { authorization: `Bearer ${token}` }) }
      }),
    send: (line, lines = [], body = '') => sendRaw(t, gateway.port, line, ['Host: gateway.example', ...lines], body)
  }
}

async function startAuthenticator(t: Test, state: { isDown: boolean }, given: SceneOptions) {
  const { options, server, before, claims } = given
  const memory = createMemoryStore()
  t.teardown(() => memory.close())
  const store = {
    ...memory,
    find: async (id: string) => (state.isDown ? Promise.reject(new Error('The store is down')) : memory.find(id))
  }
  const { baseUrl } = await startUpstream(t)
  const app = createWatchedFastify(t, server)
  await before?.(app)
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream: { baseUrl },
    store,
    routes: { verify: {} },
    identity: { key, issuer: 'https://auth.example', audience: 'services', claims },
    ...options
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return app
}

async function startService(t: Test, served: ServiceRequest[], upgrades: string[]): Promise<FastifyInstance> {
  const app = Fastify({ exposeHeadRoutes: false, bodyLimit: 2 ** 24 })
  app.server.on('upgrade', ({ method, headers }) => upgrades.push(`${method} ${headers.upgrade}`))
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, async (_request: unknown, body: string) => body)
  await app.register(fastifyWebsocket)
  app.get('/socket', { websocket: true }, (socket, { method, url, headers }) => {
    served.push({ method, url, headers, body: '' })
    socket.on('message', (message) => socket.send(`echo ${message}`))
  })
  app.all('/*', async ({ method, url, headers, body }, reply) => {
    served.push({ method, url, headers, body: typeof body === 'string' ? body : '' })
    // What a service must not say in the name of the authenticator.
    reply.headers({ 'session-ended': 'revoked', 'clear-site-data': '"storage"', 'x-service': 'yes' })
    if (url === '/fails') return reply.code(500).send('the service failed')
    if (url === '/refuses') return reply.code(401).send('the service refused')
    return 'served'
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  return app
}

function portOf({ server }: FastifyInstance): number {
  return (server.address() as AddressInfo).port
}
