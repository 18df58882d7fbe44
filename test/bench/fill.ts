// Started by the run as a separate process: `fill.ts <Redis socket> <sessions> <number of tokens to return>`.
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { fastifyJwtSession } from '../../dist/index.js'
import { BROWSER } from './load/requests.js'
import { SECRET } from './servers/bench-server.js'
import { userSchema } from './servers/plugin-strict.js'

const BATCH = 1_000
const DETAILS = { ip: '203.0.113.77', userAgent: BROWSER }

const [socketPath = '', ...numbers] = process.argv.slice(2)
const [count = 0, samples = 0] = numbers.map(Number)

const redis = new Redis(socketPath, { enableAutoPipelining: true })
const app = Fastify()
await app.register(fastifyJwtSession, {
  jwt: { secret: SECRET },
  upstream: { login: async () => ({ user: {} }) },
  redis,
  userSchema,
  storeTimeoutMs: 60_000
})

const every = Math.ceil(count / samples)
const tokens: string[] = []
for (let from = 0; from < count; from += BATCH) {
  const length = Math.min(BATCH, count - from)
  await Promise.all(Array.from({ length }, (_, index) => fill(from + index)))
}
redis.disconnect()
await app.close()
process.send?.(tokens, () => process.disconnect?.())

async function fill(index: number): Promise<void> {
  const id = `filled-${index}`
  const { token } = await app.sessions.create({ id, name: `User ${id}`, email: `${id}@example.com` }, DETAILS)
  if (index % every === 0) tokens.push(token)
}
