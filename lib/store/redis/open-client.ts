import fastifyRedis, { type FastifyRedis, type FastifyRedisPluginOptions } from '@fastify/redis'
import type { FastifyInstance } from 'fastify'
import { InvalidOptionError, StoreUnavailableError } from '../../errors.js'
import { withDeadline } from '../../internal/deadline.js'
import type { RedisServer } from './client.js'
import { commandSettings } from './command-settings.js'
import { keepConnecting } from './keep-connecting.js'
import { LONGEST_PAUSE_MS, pauseBefore } from './reconnect-pause.js'

/** The options that @fastify/redis hands to ioredis, without those for an ioredis client or a name of its own. */
type IoRedisOptions = Omit<Exclude<FastifyRedisPluginOptions, { client: unknown }>, 'url' | 'namespace'>

/** Options of ioredis, of the release that @fastify/redis brings. One of `url`, `host`, `path`, `sentinels` is required. */
export interface RedisOptions extends IoRedisOptions {
  /** `redis://…`, `rediss://…` or the path of a unix socket. */
  url?: string | undefined
}

/** A client of the plugin's own, connected or not. */
export interface OpenedRedis {
  client: RedisServer
  /** Why there is no point in waiting for the client, such as a wrong password or a refused SELECT. */
  refusal(): Error | undefined
}

/** After how long a silent connection is closed at the soonest: each new connection is work for Redis too. */
const SHORTEST_SILENCE_MS = 500
/** A server that stays read-only has to verify all the same, so the connection is left once in this time at most. */
const READONLY_PAUSE_MS = 1_000

/**
 * Settings for a client that serves requests. By default ioredis queues and retries for minutes, and a stalled server
 * holds a command for ever; here a command fails within `timeoutMs`, and a connection without a reply is closed.
 * By default ioredis also waits up to 5 s before it connects again, and 10 s for a server that loads its data: sessions
 * would stay out of reach for so long after Redis is back.
 */
function requestPathSettings(timeoutMs: number) {
  return {
    ...commandSettings(timeoutMs),
    connectTimeout: 1_000,
    socketTimeout: Math.max(timeoutMs, SHORTEST_SILENCE_MS),
    enableOfflineQueue: false,
    maxLoadingRetryTime: LONGEST_PAUSE_MS,
    retryStrategy: pauseBefore,
    // The sentinels may lose a master that this process still reaches.
    failoverDetector: true,
    reconnectOnError: createReadonlyCheck()
  }
}

/** Whether to connect again after an error: to a master that became a replica, whose name may lead to another server. */
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
 * Opens a client of the plugin's own through @fastify/redis, in a scope that the host application cannot see, and
 * closes the client with the application, within `timeoutMs` even when the server does not answer. Does not wait for
 * Redis.
 *
 * @throws {StoreUnavailableError} ioredis does not take the options
 * @throws {InvalidOptionError} the URL names a database that is no number
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
      // The commands report errors. Without a listener ioredis prints them.
      client.on('error', () => {})
      keepConnecting(client)
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
  checkDatabase(opened)
  return { client: opened, refusal: () => refusal }
}

/** With NaN ioredis would end the process by a rejection that nothing can handle, as soon as it has connected. */
function checkDatabase(client: RedisServer): void {
  if (Number.isInteger(client.options.db)) return
  client.disconnect()
  throw new InvalidOptionError('redis.url', 'must name a database by its number')
}
