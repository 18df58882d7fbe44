import fastifyRedis, { type FastifyRedis, type FastifyRedisPluginOptions } from '@fastify/redis'
import type { FastifyInstance } from 'fastify'
import { withDeadline } from '../deadline.js'
import { StoreUnavailableError } from '../errors.js'
import type { RedisClient } from './redis-store.js'

/** What this file needs of the ioredis client besides the store's commands. */
interface OwnClient extends RedisClient {
  on(event: 'error', listener: (error: Error) => void): unknown
  quit(): Promise<unknown>
  disconnect(): void
}

/**
 * Settings for a client that serves requests. By default ioredis queues and retries for minutes, and a stalled server
 * holds a command for ever; here a command fails within `timeoutMs`, and a dead connection is given up within a second.
 */
function requestPathSettings(timeoutMs: number) {
  return {
    commandTimeout: timeoutMs,
    connectTimeout: 1_000,
    socketTimeout: 1_000,
    disconnectTimeout: timeoutMs,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false
  }
}

/**
 * Opens a client of the plugin's own through @fastify/redis, in a scope that the host application cannot see, and
 * closes it with the application, within `timeoutMs` even when the server does not answer.
 *
 * @throws {StoreUnavailableError} Redis refused the login, or was not ready within Fastify's `pluginTimeout`
 */
export async function openRedis(fastify: FastifyInstance, options: object, timeoutMs: number): Promise<RedisClient> {
  let opened: OwnClient | undefined
  let lastError: unknown

  /** @fastify/redis assigns the client before it waits for the connection, so nothing that happens to it is missed. */
  const clients = {
    get session(): OwnClient | undefined {
      return opened
    },
    set session(client: OwnClient) {
      opened = client
      opened.on('error', (error) => {
        lastError = error
      })
      // @fastify/redis quits without a bound, and without a handler when the start fails.
      const quit = client.quit.bind(client)
      opened.quit = async () => {
        await withDeadline(quit(), timeoutMs).catch(() => {})
        client.disconnect()
      }
    }
  }

  try {
    await fastify.register(async (scope) => {
      scope.decorate('redis', clients as unknown as FastifyRedis)
      const settings = { ...requestPathSettings(timeoutMs), ...options, namespace: 'session' }
      await scope.register(fastifyRedis, settings as FastifyRedisPluginOptions)
    })
  } catch (error) {
    opened?.disconnect()
    throw new StoreUnavailableError(lastError ?? error)
  }
  return clients.session as RedisClient
}
