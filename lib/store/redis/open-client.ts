import fastifyRedis, { type FastifyRedis, type FastifyRedisPluginOptions } from '@fastify/redis'
import type { FastifyInstance } from 'fastify'
import { InvalidOptionError, StoreUnavailableError } from '../../errors.js'
import { withDeadline } from '../../internal/deadline.js'
import type { RedisServer } from './client.js'
import { commandSettings } from './command-settings.js'
import { confirmMaster } from './confirm-master.js'
import { keepConnecting } from './keep-connecting.js'
import { LONGEST_PAUSE_MS, pauseBefore } from './reconnect-pause.js'

/** The options that @fastify/redis passes to ioredis. */
type IoRedisOptions = Omit<Exclude<FastifyRedisPluginOptions, { client: unknown }>, 'url' | 'namespace'>

/** Options of ioredis, in the version of @fastify/redis. One of `url`, `host`, `path`, `sentinels` is required. */
export interface RedisOptions extends IoRedisOptions {
  /** `redis://…`, `rediss://…` or the path of a unix socket. */
  url?: string | undefined
}

/** A client that the plugin has opened, connected or not. */
export interface OpenedRedis {
  client: RedisServer
  /** An error that waiting cannot fix, such as a wrong password or a refused SELECT. */
  refusal(): Error | undefined
}

/** The shortest silence after which a connection is closed: each new connection is work for Redis too. */
const SHORTEST_SILENCE_MS = 500
/** The shortest time between two reconnects because of READONLY: a read-only server still verifies sessions. */
const READONLY_PAUSE_MS = 1_000

/**
 * Settings of a client that serves requests. By default ioredis queues and retries commands for minutes, and waits
 * forever for a stalled server; with these settings a command fails within `timeoutMs`, and a connection without a
 * reply is closed. By default ioredis also pauses up to 5 s between two attempts to connect, and 10 s for a server that
 * loads its data, so that sessions would be unavailable for seconds after a recovery of Redis.
 */
function requestPathSettings(timeoutMs: number) {
  return {
    ...commandSettings(timeoutMs),
    connectTimeout: 1_000,
    socketTimeout: Math.max(timeoutMs, SHORTEST_SILENCE_MS),
    enableOfflineQueue: false,
    maxLoadingRetryTime: LONGEST_PAUSE_MS,
    retryStrategy: pauseBefore,
    // Sentinel may replace a master that this process still reaches.
    failoverDetector: true,
    reconnectOnError: createReadonlyCheck()
  }
}

/** Reconnects after READONLY: the master has become a replica, and its name may lead to another server. */
function createReadonlyCheck(): (error: Error) => boolean {
  let leftAt = Number.NEGATIVE_INFINITY
  return (error) => {
    const now = performance.now()
    if (!error.message.includes('READONLY') || now - leftAt < READONLY_PAUSE_MS) return false
    leftAt = now
    return true
  }
}

/**
 * Opens a client through @fastify/redis, in a scope that the host application cannot see. The client closes with the
 * application, within `timeoutMs` even when the server does not respond. Does not wait for Redis.
 *
 * @throws {StoreUnavailableError} ioredis rejects the options
 * @throws {InvalidOptionError} the database in the URL is not a number
 */
export async function openRedis(
  fastify: FastifyInstance,
  options: RedisOptions,
  timeoutMs: number
): Promise<OpenedRedis> {
  let opened: RedisServer | undefined
  let refusal: Error | undefined

  const clients = {
    get session(): RedisServer | undefined {
      return opened
    },
    set session(client: RedisServer) {
      opened = client
      // Commands reject with the errors. Without a listener ioredis would print the errors.
      client.on('error', () => {})
      keepConnecting(client)
      confirmMaster(client)
      const quit = client.quit.bind(client)
      fastify.addHook('onClose', async () => {
        await withDeadline(quit(), timeoutMs).catch(() => {})
        client.disconnect()
      })
      // @fastify/redis would quit without a deadline; and also after a failed start, when the app may continue.
      client.quit = async () => {}
    }
  }

  await fastify.register(async (scope) => {
    scope.decorate('redis', clients as unknown as FastifyRedis)
    const settings = { ...requestPathSettings(timeoutMs), ...options, namespace: 'session' }
    // Called, not registered: Fastify would wait for the connection, and time out without the cause.
    fastifyRedis(scope, settings as FastifyRedisPluginOptions, (error) => {
      refusal = error
    })
  })
  if (opened === undefined) throw new StoreUnavailableError(refusal)
  checkDatabase(opened)
  return { client: opened, refusal: () => refusal }
}

/** With NaN, ioredis ends the process by an unhandled rejection as soon as the client is connected. */
function checkDatabase(client: RedisServer): void {
  if (Number.isInteger(client.options.db)) return
  client.disconnect()
  throw new InvalidOptionError('redis.url', 'must name a database by its number')
}
