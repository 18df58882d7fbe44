// Sockets that close when their session ends, also when nothing is sent: node --import tsx examples/websocket.ts
import { randomBytes } from 'node:crypto'
import fastifyWebsocket from '@fastify/websocket'
import Fastify, { type FastifyRequest } from 'fastify'
import fastifyJwtSession, { verifySession } from 'fastify-jwt-session'

/** 4000–4999 are the codes of applications. The page logs out when a socket closes with this one. */
const SESSION_ENDED = 4401

const app = Fastify()
await app.register(fastifyWebsocket)
await app.register(fastifyJwtSession, {
  jwt: { secret: process.env.SESSION_SECRET ?? randomBytes(32) },
  upstream: { login: async (credentials) => ({ user: { id: (credentials as { username: string }).username } }) }
})

// A page cannot set headers of a WebSocket: `new WebSocket(url, ['bearer', token])`.
async function readSubprotocol({ headers }: FastifyRequest) {
  const [scheme, token] = headers['sec-websocket-protocol']?.split(/, */) ?? []
  if (scheme === 'bearer' && token) headers.authorization ??= `Bearer ${token}`
}

// The guard runs before the upgrade: without a live session the answer is a 401, and there is no socket.
app.get('/chat', { websocket: true, onRequest: [readSubprotocol, verifySession] }, (socket, request) => {
  const { user, signal } = request.session
  signal.addEventListener('abort', () => socket.close(SESSION_ENDED, 'The session has ended'))
  socket.on('message', (message) => socket.send(`${user.id}: ${message}`))
})

console.log(await app.listen({ port: Number(process.env.PORT ?? 3000) }))
