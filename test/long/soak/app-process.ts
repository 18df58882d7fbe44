// The measured app alone in a process, started by measured-app.ts.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import Fastify from 'fastify'
import { fastifyJwtSession, type JwtSessionOptions } from '../../../lib/index.js'
import { SECRET } from '../../fixtures/planted-secrets.js'

/** Figures of the app since the last message. */
export interface AppFigures {
  rssBytes: number
  /** Delay between ticks, including the regular 10 ms. */
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
