import type { Redis } from 'ioredis'
import type { JwtSessionOptions } from '../../../lib/index.js'
import type { StartedRedis } from '../../fixtures/redis/start-redis.js'
import type { RespProxy } from '../../fixtures/redis/start-resp-proxy.js'

export const OPERATIONS = ['login', 'verify', 'logout', 'list', 'update'] as const
export type Operation = (typeof OPERATIONS)[number]

/** The allowed statuses of each operation. */
export type Expected = Readonly<Record<Operation, readonly number[]>>

/** The connection of an app to Redis: direct, by a proxy, or by a proxy that acts as a Cluster. */
export type Way = 'direct' | 'proxy' | 'cluster'

/** The client of an app: by `redis: { url }`, or injected with the defaults of ioredis. */
export type ClientKind = 'own' | 'injected'

/** The parts that a fault can break. */
export interface Stage {
  redis: StartedRedis
  /** A direct connection from before the fault, with the password. */
  operator: Redis
  proxy: RespProxy
}

/** A fault, with the expected statuses during and after the fault. */
export interface Fault {
  name: string
  /** Resolves when the fault has begun. */
  start(stage: Stage): unknown
  /** Resolves when the fault is over. */
  end?(stage: Stage): unknown
  /** The statuses during the fault. */
  during: Expected
  /** Statuses with the cache, where the cache changes the status for longer than `maxStaleMs`. */
  cached?: Partial<Expected>
  /**
   * The reason of the clear signal on a 401. Default `unknown`: Redis has lost the session. Null: the record cannot be
   * decoded, so the 401 asks for a login and has no signal.
   */
  reason?: string | null
  /** The status of earlier tokens after the fault. Default 200. */
  afterwards?: 200 | 401
  /** The status of tokens from during the fault, after the fault. Default 200. */
  madeMeanwhile?: 200 | 401
  /** Default direct. */
  way?: Way
  /** Default: own; in the long part, both. */
  clients?: readonly ClientKind[]
  /** Arguments of redis-server. */
  args?: readonly string[]
  /** Whether Redis listens on a TCP port too. */
  tcp?: boolean
  password?: string
  options?: Partial<JwtSessionOptions>
  /**
   * The most parallel requests of each operation, for faults with heavy replies: the four apps and the clients share a
   * process.
   */
  maxParallel?: number
}

/** No server responds. */
export const DOWN = all(503)

/** Everything works. */
export const WORKS: Expected = { login: [200], verify: [200], logout: [204], list: [200], update: [200] }

/** Every operation works or is answered 503. */
export const PARTLY: Expected = {
  login: [200, 503],
  verify: [200, 503],
  logout: [204, 503],
  list: [200, 503],
  update: [200, 503]
}

/** Reads work, and writes fail. */
export const READ_ONLY: Expected = { login: [503], verify: [200], logout: [503], list: [200], update: [503] }

/** The sessions are lost, and every other operation works. */
export const ENDED: Expected = { login: [200], verify: [401], logout: [204], list: [401], update: [401] }

function all(status: number): Expected {
  return { login: [status], verify: [status], logout: [status], list: [status], update: [status] }
}

export const TRANSPORT_CLIENTS = ['own', 'injected'] as const
