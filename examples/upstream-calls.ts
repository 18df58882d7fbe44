import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import fastifyJwtSession, { type RequestSession, verifySession } from 'fastify-jwt-session'

const baseUrl = process.env.UPSTREAM_URL ?? 'http://127.0.0.1:4000'

/** Calls the upstream on the user's behalf, and once more when the upstream no longer accepts the access token. */
async function fetchAs({ upstream }: RequestSession, path: string, init: RequestInit = {}): Promise<Response> {
  const call = (accessToken: string) => {
    const headers = new Headers(init.headers)
    headers.set('authorization', `Bearer ${accessToken}`)
    return fetch(baseUrl + path, { ...init, headers, redirect: 'error' })
  }
  const accessToken = await upstream.accessToken()
  const response = await call(accessToken)
  if (response.status !== 401) return response
  await response.body?.cancel()
  return call(await upstream.accessToken({ rejected: accessToken }))
}

const app = Fastify()
await app.register(fastifyJwtSession, {
  jwt: { secret: process.env.SESSION_SECRET ?? randomBytes(32) },
  upstream: {
    baseUrl,
    // The browser never gets these tokens: the session has a token of its own.
    tokens: { secrets: process.env.TOKENS_SECRET ?? randomBytes(32), refreshPath: '/user/refresh' }
  },
  ...(process.env.REDIS_URL && { redis: { url: process.env.REDIS_URL } })
})

app.get('/orders', { preHandler: verifySession }, async (request, reply) => {
  const response = await fetchAs(request.session, '/orders')
  if (response.ok) return response.json()
  return reply.code(502).send({ error: 'The upstream does not show the orders' })
})

console.log(await app.listen({ port: Number(process.env.PORT ?? 3000) }))
