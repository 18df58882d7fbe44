import { isIoRedis, type RedisClient } from './client.js'
import { Connection } from './connection.js'
import type { ScriptClient } from './script-runner.js'

/**
 * The same commands, which wait for a connection that is being made again and are sent once more when their connection
 * was cut ({@link Connection.run}). A client that is not ioredis is returned as it is.
 */
export function waitForReconnect(client: RedisClient): RedisClient & Pick<ScriptClient, 'connectionNumber'> {
  if (!isIoRedis(client)) return client
  const connection = Connection.of(client)
  return {
    mget: (...keys) => connection.run(() => client.mget(...keys)),
    evalsha: (...args) => connection.run(() => client.evalsha(...args)),
    eval: (...args) => connection.run(() => client.eval(...args)),
    connectionNumber: () => connection.number
  }
}
