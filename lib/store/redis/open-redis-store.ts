import type { FastifyInstance } from 'fastify'
import { createBreaker, logBreaker } from '../../internal/circuit-breaker.js'
import type { OpenedStore, RedisChoice, StoreConfig } from '../store-config.js'
import { longestWaitMs, waitUntilReady } from '../wait-until-ready.js'
import { checkServers, checkSettings } from './check-client.js'
import { type IoRedis, isIoRedis, type RedisClient, type RedisServerOptions } from './client.js'
import { duplicateClient } from './duplicate-client.js'
import { openRedis } from './open-client.js'
import { Readiness } from './readiness.js'
import { waitForReconnect } from './reconnecting-client.js'
import { RedisStore } from './redis-store.js'
import { isRefusal } from './refusal.js'
import { openReplicaAcks } from './replica-acks.js'
import type { ScriptClient } from './script-runner.js'

/**
 * A store on Redis with the connections that it needs: one that reads, one that writes, and one that waits for replicas.
 * Connections that are opened here are closed with the app.
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
  // No request waits for the answer.
  fastify.addHook('onReady', async () => void checkServers(client))

  const { store, plain } = createStores(fastify, client, config)
  const readiness = new Readiness(plain, timeoutMs, fastify.log)
  if (isOwn || isRequired) {
    // Also where it is not required: most often Redis is there a moment later, and the first request need not be refused.
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

/** The store, and the same without waiting for replicas. */
function createStores(fastify: FastifyInstance, client: RedisClient, config: StoreConfig) {
  const { timeoutMs, minReplicas } = config
  if (!isIoRedis(client)) {
    const store = new RedisStore({ client, timeoutMs })
    return { store, plain: store }
  }
  const writer = openWriter(fastify, client, timeoutMs)
  const plain = new RedisStore({ client, writer, timeoutMs })
  if (minReplicas === null) return { store: plain, plain }
  // Each wait without enough replicas holds up those behind it: after one, a single probe finds out whether they are back.
  const breaker = createBreaker(
    { ...config.breaker, failures: 1 },
    logBreaker(fastify.log, 'replica of the session store')
  )
  const replicated = openReplicaAcks(client, { minReplicas, timeoutMs, breaker })
  fastify.addHook('onClose', async () => replicated.close())
  return { store: new RedisStore({ client, writer, replicated, timeoutMs }), plain }
}

/**
 * A connection for the script alone: while writes are paused, which planned failovers do, Redis holds up everything that
 * a connection sends behind a write.
 */
function openWriter(fastify: FastifyInstance, client: IoRedis, timeoutMs: number): ScriptClient {
  const writer = duplicateClient(client, { timeoutMs, enableOfflineQueue: false })
  fastify.addHook('onClose', async () => writer.disconnect())
  const { evalsha, eval: evaluate, connectionNumber } = waitForReconnect(writer)
  const leaveReplica = (error: unknown) => {
    if (isReadonly(error) && mayReconnect(client, error)) {
      // ioredis would end for good a client that is connecting.
      for (const each of [client, writer]) if (each.status === 'ready') each.disconnect(true)
    }
    throw error
  }
  return {
    evalsha: (...args) => evalsha(...args).catch(leaveReplica),
    eval: (...args) => evaluate(...args).catch(leaveReplica),
    ...(connectionNumber && { connectionNumber })
  }
}

function isReadonly(error: unknown): error is Error {
  return error instanceof Error && error.message.startsWith('READONLY')
}

/**
 * Whether the client's own setting asks for a reconnect. ioredis asks the setting for the connection that was refused a
 * write, and reads have another one: their master has become a replica too.
 */
function mayReconnect(client: IoRedis, error: Error): boolean {
  const { reconnectOnError }: RedisServerOptions = client.options
  return typeof reconnectOnError === 'function' && Boolean(reconnectOnError(error))
}
