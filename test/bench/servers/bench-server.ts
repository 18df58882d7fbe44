import type { RequestListener, Server } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance, FastifySchema } from 'fastify'
import { request } from 'undici'

/**
 * A server with a guarded `GET /me`; each server has a separate file. `POST /user/login` calls the upstream, and returns
 * an `access_token` or sets a cookie. `POST /user/logout` ends the session.
 */
export interface BenchServer {
  /** The name in the results. */
  title: string
  /** Packages whose versions are in the results. */
  packages: string[]
  /** The header for the bare token, instead of `Authorization: Bearer`. */
  tokenHeader?: string
  /** False if a token stays valid until the expiry. Default true; the run checks the value. */
  endsAtLogout?: boolean
  /** @throws {NotAvailableError} when the installed version of a package cannot run the server */
  start(environment: Environment): Promise<Listening>
}

export interface Environment {
  /** The unix socket of redis-server. */
  redisPath: string
  /** `POST /user/login` of the upstream returns `{ user }`. */
  upstreamUrl: string
}

export interface Listening {
  port: number
}

export interface BenchUser {
  id: string
  name: string
  email: string
}

/** The server does not work with the installed versions. The run reports the error and continues. */
export class NotAvailableError extends Error {}

export const SECRET = 'a secret of the benchmark, 32 bytes or more'
export const TTL_SECONDS = 43_200

/** The schema of the reply of every Fastify server. */
export const meSchema: FastifySchema = {
  response: { 200: { type: 'object', properties: { id: { type: 'string' }, name: { type: 'string' } } } }
}

/** Calls the upstream, for servers without a client of the upstream. */
export async function callUpstream(upstreamUrl: string, credentials: unknown): Promise<BenchUser> {
  const { statusCode, body } = await request(`${upstreamUrl}/user/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(credentials)
  })
  const answer = (await body.json()) as { user: BenchUser }
  if (statusCode !== 200) throw new Error(`The upstream answered ${statusCode}`)
  return answer.user
}

export async function listenFastify(app: FastifyInstance): Promise<Listening> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return { port: portOf(app.server) }
}

export async function listenExpress(app: RequestListener): Promise<Listening> {
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: portOf(server) }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}
