import type { FastifyInstance } from 'fastify'
import { createDemo, type DemoOptions } from './app.js'

// `npm start`. Optional environment variables: PORT, REDIS_URL, SESSION_SECRET.

const HOST = '127.0.0.1'
const { PORT, REDIS_URL, SESSION_SECRET } = process.env

/** An error for the person at the terminal to fix, shown as a single sentence without a stack trace. */
class StartError extends Error {}

function readPort(text: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port
  throw new StartError('PORT must be a whole number from 0 to 65535, for example PORT=3001.')
}

/** Host and port alone: the URL may hold a password. */
function redisAddress(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed !== null && /^rediss?:$/.test(parsed.protocol) && parsed.hostname !== '') return parsed.host
  throw new StartError('REDIS_URL must be a redis:// or rediss:// URL, for example redis://127.0.0.1:6379.')
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

async function openDemo(options: DemoOptions, redis: string | null): Promise<FastifyInstance> {
  try {
    return await createDemo(options)
  } catch (error) {
    if (codeOf(error) === 'FST_JWT_SESSION_STORE_UNAVAILABLE' && error instanceof Error) {
      const reason = codeOf(error.cause)
      throw new StartError(
        `Cannot use Redis at ${redis}${reason && ` (${reason})`}: start Redis, or correct or unset REDIS_URL.`
      )
    }
    if (codeOf(error) === 'FST_JWT_SESSION_INVALID_OPTION' && error instanceof Error) {
      throw new StartError(`${error.message}. The options of the demo come from SESSION_SECRET and REDIS_URL.`)
    }
    throw error
  }
}

async function listen(app: FastifyInstance, port: number): Promise<string> {
  try {
    return await app.listen({ host: HOST, port })
  } catch (error) {
    await app.close()
    const reason = { EADDRINUSE: 'is in use', EACCES: 'is reserved by the system' }[codeOf(error)]
    if (reason === undefined) throw error
    throw new StartError(
      `Port ${port} ${reason}: choose another port, for example PORT=${port < 65_535 ? port + 1 : 3000} npm start.`
    )
  }
}

function closeOnSignal(app: FastifyInstance): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // Once: a second Ctrl+C meets no handler and ends the process at once.
    process.once(signal, () => app.close())
  }
}

async function start(): Promise<void> {
  const port = readPort(PORT || '3000')
  const redis = REDIS_URL ? redisAddress(REDIS_URL) : null
  if (redis !== null) console.log(`Connecting to Redis at ${redis} …`)

  const options = { ...(REDIS_URL && { redisUrl: REDIS_URL }), ...(SESSION_SECRET && { secret: SESSION_SECRET }) }
  const app = await openDemo(options, redis)
  const url = await listen(app, port)
  closeOnSignal(app)

  console.log(`Demo: ${url}`)
  console.log(
    redis
      ? `Sessions are stored in Redis at ${redis}.`
      : 'Sessions are stored in the memory of the process; REDIS_URL=redis://… stores sessions in Redis.'
  )
  if (!SESSION_SECRET) console.log('Tokens are signed with a random secret; SESSION_SECRET sets a secret of your own.')
}

try {
  await start()
} catch (error) {
  if (!(error instanceof StartError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
