import type { Redis } from 'ioredis'
import type { JwtSessionOptions } from '../../../lib/index.js'
import type { StartedRedis } from '../../fixtures/redis/start-redis.js'
import type { RespProxy } from '../../fixtures/redis/start-resp-proxy.js'

export const OPERATIONS = ['login', 'verify', 'logout', 'list', 'update'] as const
export type Operation = (typeof OPERATIONS)[number]

/** With what a request may be answered: with one status, or with any of these. */
export type Expected = Readonly<Record<Operation, readonly number[]>>

/** What stands between an app and Redis: nothing, a proxy, or one that is a Cluster to a client that takes it for one. */
export type Way = 'direct' | 'proxy' | 'cluster'

/** How an app comes to its client: by `redis: { url }`, or an injected client with the defaults of ioredis. */
export type ClientKind = 'own' | 'injected'

/** What a fault may lay hands on. */
export interface Stage {
  redis: StartedRedis
  /** Is there before the fault, directly, and knows the password. */
  operator: Redis
  proxy: RespProxy
}

/** Something that goes wrong, what is answered while it lasts, and what is left when it is over. */
export interface Fault {
  name: string
  /** Resolves when it has come into effect. */
  start(stage: Stage): unknown
  /** Resolves when it is over. */
  end?(stage: Stage): unknown
  /** What is answered while it lasts. */
  during: Expected
  /** The same with the cache, where that is another thing for longer than `maxStaleMs`. */
  cached?: Partial<Expected>
  /**
   * The reason of the clear signal on a 401. Default `unknown`: Redis has lost the session. Null: the record is there and
   * cannot be used, so the 401 asks for a login and carries no signal.
   */
  reason?: string | null
  /** What is answered to the tokens from before when it is over. Default 200. */
  afterwards?: 200 | 401
  /** And to those that were made while it lasted. Default 200. */
  madeMeanwhile?: 200 | 401
  /** Default direct. */
  way?: Way
  /** Default: own; in the long run, both. */
  clients?: readonly ClientKind[]
  /** Of redis-server. */
  args?: readonly string[]
  /** On a TCP port, and not only on a socket. */
  tcp?: boolean
  password?: string
  options?: Partial<JwtSessionOptions>
  /**
   * The most requests of each operation at the same time, where all replies come at one moment or take much of the
   * processor: the four apps and their clients share the process that measures.
   */
  maxParallel?: number
}

/** No server responds. */
export const DOWN = all(503)

/** Everything works. */
export const WORKS: Expected = { login: [200], verify: [200], logout: [204], list: [200], update: [200] }

/** Everything that is answered is right; the rest is 503. */
export const PARTLY: Expected = {
  login: [200, 503],
  verify: [200, 503],
  logout: [204, 503],
  list: [200, 503],
  update: [200, 503]
}

/** Redis can be asked and not told. */
export const READ_ONLY: Expected = { login: [503], verify: [200], logout: [503], list: [200], update: [503] }

/** The sessions are there no more, and everything else works. */
export const ENDED: Expected = { login: [200], verify: [401], logout: [204], list: [401], update: [401] }

function all(status: number): Expected {
  return { login: [status], verify: [status], logout: [status], list: [status], update: [status] }
}

export const TRANSPORT_CLIENTS = ['own', 'injected'] as const
