import fastifyRedis, { type FastifyRedis, type FastifyRedisPluginOptions } from '@fastify/redis'
import type { FastifyInstance } from 'fastify'
import { StoreUnavailableError } from '../../errors.js'
import { withDeadline } from '../../internal/time-budget.js'
import type { RedisClient } from './redis-store.js'

/** What this file needs of the ioredis client besides the store's commands. */
interface OwnClient extends RedisClient {
  on(event: 'error', listener: () => void): unknown
  quit(): Promise<unknown>
  disconnect(): void
}

/** A client of the plugin's own, connected or not. */
export interface OpenedRedis {
  client: OwnClient
  /** Why @fastify/redis would give up, such as a wrong password. */
  refusal(): Error | undefined
}

/** Longest pause between two attempts to reach a Redis that is not there. */
const LONGEST_PAUSE_MS = 250
/** After how long a connection that says nothing is given up at the soonest: to open another one is work for Redis too. */
const SHORTEST_SILENCE_MS = 500

/**
 * Settings for a client that serves requests. By default ioredis queues and retries for minutes, and a stalled server
 * holds a command for ever; here a command fails within `timeoutMs`, and then a connection that said nothing is given up.
 * By default it also waits up to 5 s before it tries to connect again, and 10 s for a server that loads its data: sessions
 * would stay out of reach for so long after Redis is back.
 */
function requestPathSettings(timeoutMs: number) {
  return {
    commandTimeout: timeoutMs,
    connectTimeout: 1_000,
    socketTimeout: Math.max(timeoutMs, SHORTEST_SILENCE_MS),
    disconnectTimeout: timeoutMs,
    sentinelCommandTimeout: timeoutMs,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    maxLoadingRetryTime: LONGEST_PAUSE_MS,
    retryStrategy: (attempts: number) => Math.min(attempts * 50, LONGEST_PAUSE_MS)
  }
}

/**
 * Opens a client of the plugin's own through @fastify/redis, in a scope that the host application cannot see, and
 * closes it with the application, within `timeoutMs` even when the server does not answer. Does not wait for Redis.
 *
 * @throws {StoreUnavailableError} ioredis does not take the options
 */
export async function openRedis(fastify: FastifyInstance, options: object, timeoutMs: number): Promise<OpenedRedis> {
  let opened: OwnClient | undefined
  let refusal: Error | undefined

  const clients = {
    get session(): OwnClient | undefined {
      return opened
    },
    set session(client: OwnClient) {
      opened = client
      // Whoever asks is told. Without a listener ioredis prints it.
      client.on('error', () => {})
      const quit = client.quit.bind(client)
      fastify.addHook('onClose', async () => {
        await withDeadline(quit(), timeoutMs).catch(() => {})
        client.disconnect()
      })
      // @fastify/redis would quit without a bound; and for good when the start is refused, also if the app goes on.
      client.quit = async () => {}
    }
  }

  await fastify.register(async (scope) => {
    scope.decorate('redis', clients as unknown as FastifyRedis)
    const settings = { ...requestPathSettings(timeoutMs), ...options, namespace: 'session' }
    // Called and not registered: Fastify would wait for the connection, and give up without a word of what is wrong.
    fastifyRedis(scope, settings as FastifyRedisPluginOptions, (error) => {
      refusal = error
    })
  })
  if (opened === undefined) throw new StoreUnavailableError(refusal)
  return { client: opened, refusal: () => refusal }
}
