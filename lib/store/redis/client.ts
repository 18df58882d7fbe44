// All types of ioredis clients in this project. The types are structural, so that ioredis 5, ioredis 6 and wrapped
// clients fit.

import type { Writable } from 'node:stream'

/** The commands of the session store, all that {@link createRedisStore} needs. */
export interface RedisClient {
  mget(...keys: string[]): Promise<(string | null)[]>
  evalsha(sha: string, numberOfKeys: number, ...keysAndArguments: string[]): Promise<unknown>
  eval(source: string, numberOfKeys: number, ...keysAndArguments: string[]): Promise<unknown>
}

interface Connected extends RedisClient {
  /** `'ready'`: commands are sent at once. `'end'`: the client will not connect again. */
  readonly status: string
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'select', listener: (database: number) => void): unknown
  on(event: 'messageBuffer', listener: (channel: Buffer, keys: Buffer[] | null) => void): unknown
  on(event: string, listener: () => void): unknown
  off(event: string, listener: () => void): unknown
  listenerCount(event: string): number
  /** Rejects while the client is connecting. */
  connect(): Promise<unknown>
  pipeline(): RedisPipeline
  quit(): Promise<unknown>
  /** @param reconnect whether to connect again at once. Default false */
  disconnect(reconnect?: boolean): void
}

/** An ioredis `Redis`: a client of one server, or of the master that Sentinel names. */
export interface RedisServer extends Connected {
  readonly options: RedisServerOptions
  /** The socket. Absent before the first connection, and with other clients than ioredis. */
  readonly stream?: Pick<Writable, 'cork' | 'uncork'> | undefined
  duplicate(options: object): RedisServer
  select(db: number): Promise<unknown>
  client(...args: string[]): Promise<unknown>
  subscribe(channel: string): Promise<unknown>
  ping(): Promise<unknown>
  info(section: string): Promise<string>
  config(...args: string[]): Promise<unknown>
}

/** An ioredis `Cluster`. */
export interface RedisCluster extends Connected {
  readonly options: RedisClusterOptions
  /** For each slot the `host:port` of its nodes, the master first. Empty before the first refresh. */
  readonly slots: readonly (readonly string[])[]
  nodes(role: 'master'): RedisServer[]
  duplicate(startupNodes: [], options: object): RedisCluster
  refreshSlotsCache(callback?: (error?: Error | null) => void): void
}

/** An ioredis client, injected or opened by the plugin. */
export type IoRedis = RedisServer | RedisCluster

/** The options of a client of one server that this project reads. */
export interface RedisServerOptions {
  host?: string | undefined
  port?: number | undefined
  path?: string | undefined
  db?: number | undefined
  role?: string | undefined
  keyPrefix?: string | undefined
  sentinels?: readonly { host?: string; port?: number }[] | null | undefined
  failoverDetector?: boolean | undefined
  reconnectOnError?: unknown
  enableOfflineQueue?: boolean | undefined
  maxRetriesPerRequest?: number | null | undefined
  commandTimeout?: number | undefined
}

/** The options of a client of a Cluster that this project reads. */
export interface RedisClusterOptions {
  keyPrefix?: string | undefined
  scaleReads?: unknown
  enableOfflineQueue?: boolean | undefined
  enableAutoPipelining?: boolean | undefined
  slotsRefreshInterval?: number | undefined
  maxRedirections?: number | undefined
  retryDelayOnTryAgain?: number | undefined
  redisOptions?: RedisServerOptions | undefined
}

/** Commands that are sent in one write. */
export interface RedisPipeline {
  evalsha(sha: string, numberOfKeys: number, ...keysAndArguments: string[]): RedisPipeline
  eval(source: string, numberOfKeys: number, ...keysAndArguments: string[]): RedisPipeline
  wait(replicas: number, timeoutMs: number): RedisPipeline
  exec(): Promise<[error: Error | null, result: unknown][] | null>
}

/** Whether the client is an ioredis client, and not just an object with the commands of ioredis. */
export function isIoRedis(client: object): client is IoRedis {
  return ['status', 'options', 'on', 'listenerCount', 'connect', 'duplicate'].every((name) => name in client)
}

/** Whether the client is for a Cluster. */
export function isCluster(client: object): client is RedisCluster {
  return 'nodes' in client
}

/** The masters that the client is connected to. */
export function mastersOf(client: IoRedis): RedisServer[] {
  return isCluster(client) ? client.nodes('master') : [client]
}

/** The `keyPrefix` that the client puts before every key. */
export function keyPrefixOf(client: object): string {
  const { options }: { options?: { keyPrefix?: string } } = client
  return options?.keyPrefix ?? ''
}
