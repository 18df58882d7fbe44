// An event stream of the application's own, which ends with the session: node --import tsx examples/sse.ts
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { setInterval } from 'node:timers/promises'
import Fastify from 'fastify'
import fastifyJwtSession, { verifySession } from 'fastify-jwt-session'

const app = Fastify({ forceCloseConnections: true })
await app.register(fastifyJwtSession, {
  jwt: { secret: process.env.SESSION_SECRET ?? randomBytes(32) },
  upstream: { login: async (credentials) => ({ user: { id: (credentials as { username: string }).username } }) }
})

/** Prices, until the signal aborts. */
async function* prices(signal: AbortSignal) {
  try {
    for await (const _ of setInterval(100, null, { signal })) yield `data: ${Math.round(100 * Math.random())}\n\n`
  } catch (error) {
    if (!signal.aborted) throw error
    // The last event says why, so that the page does not connect again.
    yield `event: ended\ndata: ${signal.reason.reason}\n\n`
  }
}

// `reply.send(stream)`, not `reply.hijack()`, which would lose the headers of CORS plugins.
app.get('/prices', { preHandler: verifySession }, async ({ session }, reply) => {
  reply.type('text/event-stream').headers({ 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
  return reply.send(Readable.from(prices(session.signal)))
})

console.log(await app.listen({ port: Number(process.env.PORT ?? 3000) }))
