import type { RequestListener, Server } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance, FastifySchema } from 'fastify'
import { request } from 'undici'

/**
 * One way to guard `GET /me`, as a file of its own beside this one. Each has a `POST /user/login` that asks the upstream
 * and a `POST /user/logout`; a login answers a token, as `access_token`, or sets a cookie.
 */
export interface BenchServer {
  /** As the results call it. */
  title: string
  /** Whose versions the results name. */
  packages: string[]
  /** The header that takes the token alone, where it is not `Authorization: Bearer`. */
  tokenHeader?: string
  /** False where a token cannot be taken back before it expires. Default true; the run tries it. */
  endsAtLogout?: boolean
  /** @throws {NotAvailableError} this version of a package cannot do it */
  start(environment: Environment): Promise<Listening>
}

export interface Environment {
  /** The unix socket of redis-server. */
  redisPath: string
  /** `POST /user/login` there answers `{ user }`. */
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

/** What is to be measured does not exist yet: the run says so and goes on. */
export class NotAvailableError extends Error {}

export const SECRET = 'a secret of the benchmark, 32 bytes or more'
export const TTL_SECONDS = 43_200

/** Every Fastify server serialises its answer by the same schema. */
export const meSchema: FastifySchema = {
  response: { 200: { type: 'object', properties: { id: { type: 'string' }, name: { type: 'string' } } } }
}

/** The upstream's user, for the servers that have to ask by hand. */
export async function askUpstream(upstreamUrl: string, credentials: unknown): Promise<BenchUser> {
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
