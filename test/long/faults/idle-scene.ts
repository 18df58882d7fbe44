import { setTimeout as delay } from 'node:timers/promises'
import { type Cluster, Redis } from 'ioredis'
import type { JwtSessionOptions, RedisOptions } from '../../../lib/index.js'
import { closedAtTeardown, disconnectTimeout, type StartedRedis, startRedis } from '../../fixtures/redis/start-redis.js'
import type { Watched } from '../../fixtures/watched-fastify.js'
import { SHORT_PAUSES } from './subject.js'

/** The shared parts of a run's apps, and the outage. */
export interface Scene {
  /** The `redis` option of apps with an own client, also in separate processes. Absent: no app has an own client. */
  own?: RedisOptions
  /** A client for an app. Absent: no client is injected. */
  inject?(): Redis | Cluster
  /** Options of each app. */
  options?: Partial<JwtSessionOptions>
  /** Resolves when writes fail. */
  start(): unknown
  /** Resolves when the cause has ended. */
  end(): unknown
}

/** A way in which a store fails to write or to respond for longer than the idle timeout. */
export interface IdleWay {
  name: string
  open(t: Watched): Promise<Scene>
  /** The idle timeout in seconds. Default 3. */
  idleSeconds?: number
  /** Duration of the outage in idle timeouts. Default 1.5. */
  lasts?: number
  /** Whether restarted apps keep the sessions. Default true. */
  isShared?: boolean
}

/** An outage of a single server. */
export interface OneServerWay extends Omit<IdleWay, 'open'> {
  /** Arguments of redis-server. */
  args?: readonly string[]
  options?: Partial<JwtSessionOptions>
  start(redis: StartedRedis, operator: Redis): unknown
  end(redis: StartedRedis, operator: Redis): unknown
}

export function oneServer({ args = [], options, start, end, ...way }: OneServerWay): IdleWay {
  return {
    ...way,
    async open(t) {
      const redis = await startRedis(t, { args: [...args] })
      const operator = redis.client()
      await operator.ping()
      return {
        ...clientsOf(t, redis.socketPath),
        ...(options && { options }),
        start: () => start(redis, operator),
        end: () => end(redis, operator)
      }
    }
  }
}

/** Clients of both kinds for a URL or the path of a socket. */
export function clientsOf(t: Watched, url: string): Pick<Scene, 'own' | 'inject'> {
  return {
    own: { url, disconnectTimeout },
    inject: () => closedAtTeardown(t, new Redis(url, { disconnectTimeout, ...SHORT_PAUSES }))
  }
}

const GOOD_MS = 300
const BAD_MS = 1_000

/** Repeats an outage: a second of outage, then 0.3 s without. */
export function flapping(way: IdleWay): IdleWay {
  return {
    ...way,
    name: `flapping: ${way.name}`,
    lasts: 4,
    async open(t) {
      const { start, end, ...scene } = await way.open(t)
      let isOver = false
      let isDone: Promise<void> | undefined
      async function flap(): Promise<void> {
        while (!isOver) {
          await delay(BAD_MS)
          await end()
          await delay(GOOD_MS)
          if (!isOver) await start()
        }
      }
      return {
        ...scene,
        async start() {
          await start()
          isDone = flap()
        },
        async end() {
          isOver = true
          await isDone
        }
      }
    }
  }
}
