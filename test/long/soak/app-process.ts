// A process of its own, started by measured-app.ts: the app that is measured and nothing else.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import Fastify from 'fastify'
import { fastifyJwtSession, type JwtSessionOptions } from '../../../lib/index.js'
import { SECRET } from '../../fixtures/planted-secrets.js'

/** What the app says of itself since it was asked last. */
export interface AppFigures {
  rssBytes: number
  /** Of ticks that should be 10 ms apart: these 10 ms are in it. */
  eventLoopP99Ms: number
  httpSockets: number
}

const options: Pick<JwtSessionOptions, 'redis' | 'upstream' | 'cache' | 'routes'> = JSON.parse(process.argv[2] ?? '')
const app = Fastify()
await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, ...options })
app.get('/me', { preHandler: app.verifySession }, async (request) => request.session.user)
const origin = await app.listen({ host: '127.0.0.1', port: 0 })

const eventLoop = monitorEventLoopDelay({ resolution: 10 })
eventLoop.enable()

process.on('message', () => {
  app.server.getConnections((_error, httpSockets) => {
    const eventLoopP99Ms = eventLoop.percentile(99) / 1e6
    eventLoop.reset()
    process.send?.({ rssBytes: process.memoryUsage.rss(), eventLoopP99Ms, httpSockets } satisfies AppFigures)
  })
})
process.on('disconnect', () => process.exit())
process.send?.({ port: Number(new URL(origin).port) })
