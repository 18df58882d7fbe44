import type { FastifyInstance } from 'fastify'
import { createBreaker, logBreaker } from '../../internal/circuit-breaker.js'
import type { OpenedStore, RedisChoice, StoreConfig } from '../store-config.js'
import { longestWaitMs, waitUntilReady } from '../wait-until-ready.js'
import { checkServers, checkSettings } from './check-client.js'
import { type IoRedis, isIoRedis, type RedisClient, type RedisServerOptions } from './client.js'
import { duplicateClient } from './duplicate-client.js'
import { JoinedWrites } from './join-writes.js'
import { openRedis } from './open-client.js'
import { Readiness } from './readiness.js'
import { createReconnectingClient } from './reconnecting-client.js'
import { RedisStore, type ScriptWriter } from './redis-store.js'
import { isRefusal } from './refusal.js'
import { openReplicaAcks } from './replica-acks.js'

/**
 * Opens a store in Redis with its connections: for reads, for writes, and for waiting for replicas. The app closes the
 * connections that this function opens.
 *
 * @throws {StoreUnavailableError} Redis is required and does not respond
 */
export async function openRedisStore(
  fastify: FastifyInstance,
  choice: RedisChoice,
  config: StoreConfig
): Promise<OpenedStore> {
  const { timeoutMs, isRequiredAtStart: isRequired } = config
  const isOwn = choice.kind === 'redis-options'
  const { client, refusal } = isOwn
    ? await openRedis(fastify, choice.options, timeoutMs)
    : { client: choice.client, refusal: undefined }
  if (!isOwn) checkSettings(client, config.cache?.maxStaleMs)
  // Without await: no request waits for the check.
  fastify.addHook('onReady', async () => void checkServers(client))

  const { store, plain } = createStores(fastify, client, config)
  const readiness = new Readiness(plain, timeoutMs, fastify.log)
  if (isOwn || isRequired) {
    // Also waits for a store that is not required: often Redis is up a moment later, and the first request succeeds.
    const patienceMs = isRequired ? longestWaitMs(fastify) : timeoutMs
    const attempt = () => readiness.check()
    await waitUntilReady({ attempt, patienceMs, isRequired, client, ...(refusal && { refusal }) })
  }
  const isReady = async () => {
    await readiness.check()
    return true
  }
  const partitionOf = (tag: string) => plain.servers.serverOf(tag)
  const isRefused = (error: unknown) => isIoRedis(client) && isRefusal(error, client)
  return { store: store.methods, guard: { partitionOf, isReady, isRefused, plainStore: plain.methods } }
}

/** The store, and the plain store that does not wait for replicas. */
function createStores(fastify: FastifyInstance, client: RedisClient, config: StoreConfig) {
  const { timeoutMs, minReplicas } = config
  if (!isIoRedis(client)) {
    const store = new RedisStore({ client, timeoutMs })
    return { store, plain: store }
  }
  const writer = openWriter(fastify, client, timeoutMs)
  const plain = new RedisStore({ client, writer, timeoutMs })
  if (minReplicas === null) return { store: plain, plain }
  // 1 failure: a WAIT without enough replicas delays all later WAITs, so after one failure only probes wait.
  const breaker = createBreaker(
    { ...config.breaker, failures: 1 },
    logBreaker(fastify.log, 'replica of the session store')
  )
  const replicated = openReplicaAcks(client, { minReplicas, timeoutMs, breaker })
  fastify.addHook('onClose', async () => replicated.close())
  return { store: new RedisStore({ client, writer, replicated, timeoutMs }), plain }
}

/**
 * Opens a connection for the script alone: while writes are paused, for example in a planned failover, Redis blocks all
 * commands of a connection after a write.
 */
function openWriter(fastify: FastifyInstance, client: IoRedis, timeoutMs: number): ScriptWriter {
  const writer = duplicateClient(client, timeoutMs)
  fastify.addHook('onClose', async () => writer.disconnect())
  const { evalsha, eval: evaluate, connectionNumber } = createReconnectingClient(writer)
  const writes = new JoinedWrites(writer)
  const leaveReplica = (error: unknown) => {
    if (isReadonly(error) && mayReconnect(client, error)) {
      // Only when ready: ioredis would permanently end a client that is connecting.
      for (const each of [client, writer]) if (each.status === 'ready') each.disconnect(true)
    }
    throw error
  }
  return {
    evalsha: (...args) => {
      writes.join()
      return evalsha(...args).catch(leaveReplica)
    },
    eval: (...args) => evaluate(...args).catch(leaveReplica),
    flush: () => writes.flush(),
    ...(connectionNumber && { connectionNumber })
  }
}

function isReadonly(error: unknown): error is Error {
  return error instanceof Error && error.message.startsWith('READONLY')
}

/**
 * Whether the client's `reconnectOnError` wants a reconnect. ioredis calls the setting for the connection of the failed
 * write only; the connection for reads must reconnect too, because its master has become a replica.
 */
function mayReconnect(client: IoRedis, error: Error): boolean {
  const { reconnectOnError }: RedisServerOptions = client.options
  return typeof reconnectOnError === 'function' && Boolean(reconnectOnError(error))
}
