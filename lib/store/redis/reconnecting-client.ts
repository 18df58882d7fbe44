import { isIoRedis, type RedisClient } from './client.js'
import { Connection } from './connection.js'
import type { ScriptClient } from './script-runner.js'

/**
 * The commands of the client, which wait during a reconnect and are sent once more after a lost connection
 * ({@link Connection.run}). A client that is not ioredis is returned unchanged.
 */
export function createReconnectingClient(client: RedisClient): RedisClient & Pick<ScriptClient, 'connectionNumber'> {
  if (!isIoRedis(client)) return client
  const connection = Connection.of(client)
  return {
    mget: (...keys) => connection.run(() => client.mget(...keys)),
    evalsha: (...args) => connection.run(() => client.evalsha(...args)),
    eval: (...args) => connection.run(() => client.eval(...args)),
    connectionNumber: () => connection.number
  }
}
