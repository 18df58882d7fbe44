// Started by the run as a separate process: `fill.ts <Redis socket> create <sessions> <number of tokens to return> <users>`,
// or `fill.ts <Redis socket> use` and a message with tokens, which are sent once each.
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import { BROWSER } from './load/requests.js'
import { filledUser } from './measure/filled-redis.js'
import { SECRET } from './servers/bench-server.js'
import { fastifyJwtSession, userSchema } from './servers/plugin-strict.js'

const BATCH = 1_000
const DETAILS = { ip: '203.0.113.77', userAgent: BROWSER }
/** The plugin writes activity after a tenth of the idle timeout. */
const IDLE_TIMEOUT_SECONDS = 60
/** After the first sessions, Redis and the script have allocated what does not depend on the number of sessions. */
const FIRST_SESSIONS = 200

const [socketPath = '', kind, ...numbers] = process.argv.slice(2)
const [count = 0, samples = 0, users = 0] = numbers.map(Number)

process.send?.(await (kind === 'use' ? useReceived() : createInTwoSteps()), () => process.disconnect?.())

async function useReceived(): Promise<string[]> {
  const [tokens] = (await once(process, 'message')) as [string[]]
  await withPlugin((app) => useAll(app, tokens))
  return tokens
}

async function createInTwoSteps(): Promise<string[]> {
  await withPlugin((app) => createAll(app, (index) => `first-${index}`, FIRST_SESSIONS))
  process.send?.([])
  await once(process, 'message')
  return withPlugin((app) => createAll(app, (index) => filledUser(index % users), count))
}

/** Closes all connections to Redis at the end, so that the run sees the memory of the sessions alone. */
async function withPlugin<Result>(work: (app: FastifyInstance) => Promise<Result>): Promise<Result> {
  const redis = new Redis(socketPath, { enableAutoPipelining: true })
  const app = Fastify()
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream: { login: async () => ({ user: {} }) },
    redis,
    userSchema,
    storeTimeoutMs: 60_000,
    session: { idleTimeoutSeconds: IDLE_TIMEOUT_SECONDS, maxPerUser: 1_000 }
  })
  app.get('/use', { preHandler: app.verifySession }, async () => 'used')
  await app.ready()
  const result = await work(app)
  await app.close()
  redis.disconnect()
  return result
}

/** @returns the tokens of the samples */
async function createAll(app: FastifyInstance, idOf: (index: number) => string, total: number): Promise<string[]> {
  const every = Math.ceil(total / samples)
  const created: string[] = []
  await inBatches(total, async (index) => {
    const id = idOf(index)
    const { token } = await app.sessions.create({ id, name: `User ${id}`, email: `${id}@example.com` }, DETAILS)
    if (index % every === 0) created.push(token)
  })
  return created
}

async function useAll(app: FastifyInstance, tokens: string[]): Promise<void> {
  await delay(IDLE_TIMEOUT_SECONDS * 100)
  await inBatches(tokens.length, async (index) => {
    const headers = { authorization: `Bearer ${tokens[index]}` }
    const { statusCode } = await app.inject({ url: '/use', headers })
    if (statusCode !== 200) throw new Error(`A request of a created session was answered ${statusCode}`)
  })
  // The plugin writes activity in the background.
  await delay(1_000)
}

async function inBatches(total: number, work: (index: number) => Promise<void>): Promise<void> {
  for (let from = 0; from < total; from += BATCH) {
    const length = Math.min(BATCH, total - from)
    await Promise.all(Array.from({ length }, (_, index) => work(from + index)))
  }
}
