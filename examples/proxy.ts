// A service behind the guard, which knows nothing of sessions: node --import tsx examples/proxy.ts
import { randomBytes } from 'node:crypto'
import httpProxy from '@fastify/http-proxy'
import Fastify from 'fastify'
import fastifyJwtSession from 'fastify-jwt-session'
import { sessionProxy } from './session-proxy.js'

const { SESSION_SECRET, ORDERS_URL = 'http://127.0.0.1:4000', PORT = '3000' } = process.env

const app = Fastify()
// A page cannot set headers of a WebSocket, but sends the cookie.
await app.register(fastifyJwtSession, {
  jwt: { secret: SESSION_SECRET ?? randomBytes(32) },
  upstream: { login: async (credentials) => ({ user: { id: (credentials as { username: string }).username } }) },
  cookie: {}
})
await app.register(httpProxy, { ...sessionProxy(), prefix: '/orders', upstream: ORDERS_URL })

console.log(await app.listen({ port: Number(PORT) }))
