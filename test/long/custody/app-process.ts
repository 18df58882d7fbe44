// An app with the upstream's tokens as a process of its own, which a test stops or kills: options as JSON in, the origin out.
import Fastify from 'fastify'
import { fastifyJwtSession } from '../../../lib/index.js'
import { SECRET, TOKENS_SECRET } from '../../fixtures/planted-secrets.js'

const { redis, baseUrl, timeoutMs } = JSON.parse(process.argv[2] ?? '')
const app = Fastify()
const tokens = { secrets: TOKENS_SECRET, refreshPath: '/user/refresh' }
await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, redis, upstream: { baseUrl, timeoutMs, tokens } })
app.get('/token', { preHandler: app.verifySession }, async ({ session: { upstream }, query }) => {
  const { rejected } = query as { rejected: string }
  return { token: await upstream.accessToken({ rejected }) }
})
process.on('disconnect', () => process.exit())
process.send?.(await app.listen({ host: '127.0.0.1', port: 0 }))
