// Started by the run as a separate process: `fill.ts <Redis socket> <sessions> <number of tokens to return> [used]`.
import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { BROWSER } from './load/requests.js'
import { SECRET } from './servers/bench-server.js'
import { fastifyJwtSession, userSchema } from './servers/plugin-strict.js'

const BATCH = 1_000
const DETAILS = { ip: '203.0.113.77', userAgent: BROWSER }
/** With `used`. The plugin writes activity after a tenth of the idle timeout. */
const IDLE_TIMEOUT_SECONDS = 60

const [socketPath = '', sessions, samples, used] = process.argv.slice(2)
const count = Number(sessions)

const redis = new Redis(socketPath, { enableAutoPipelining: true })
const app = Fastify()
await app.register(fastifyJwtSession, {
  jwt: { secret: SECRET },
  upstream: { login: async () => ({ user: {} }) },
  redis,
  userSchema,
  storeTimeoutMs: 60_000,
  ...(used && { session: { idleTimeoutSeconds: IDLE_TIMEOUT_SECONDS } })
})
app.get('/use', { preHandler: app.verifySession }, async () => 'used')

const every = Math.ceil(count / Number(samples))
const tokens: string[] = []
await inBatches(fill)
if (used) {
  await reported([])
  await delay(IDLE_TIMEOUT_SECONDS * 100)
  await inBatches(use)
  // The plugin writes activity in the background.
  await delay(1_000)
}
await reported(tokens)
redis.disconnect()
await app.close()
process.disconnect?.()

async function inBatches(work: (index: number) => Promise<void>): Promise<void> {
  for (let from = 0; from < count; from += BATCH) {
    const length = Math.min(BATCH, count - from)
    await Promise.all(Array.from({ length }, (_, index) => work(from + index)))
  }
}

async function fill(index: number): Promise<void> {
  const id = `filled-${index}`
  const { token } = await app.sessions.create({ id, name: `User ${id}`, email: `${id}@example.com` }, DETAILS)
  if (index % every === 0) tokens.push(token)
}

async function use(index: number): Promise<void> {
  const headers = { authorization: `Bearer ${tokens[index]}` }
  const { statusCode } = await app.inject({ url: '/use', headers })
  if (statusCode !== 200) throw new Error(`A filled session was answered ${statusCode}`)
}

/** Posts tokens to the run, and waits for the reply: the run reads the memory of Redis in between. */
async function reported(result: string[]): Promise<void> {
  const reply = new Promise((resolve) => process.once('message', resolve))
  process.send?.(result)
  await reply
}
