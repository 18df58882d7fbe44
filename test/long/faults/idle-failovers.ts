import { Redis } from 'ioredis'
import { startCluster } from '../../fixtures/redis/start-cluster.js'
import {
  closedAtTeardown,
  disconnectTimeout,
  type StartedRedis,
  type Teardown
} from '../../fixtures/redis/start-redis.js'
import { startSentinel } from '../../fixtures/redis/start-sentinel.js'
import { until } from '../../fixtures/until.js'
import type { IdleWay, Scene } from './idle-scene.js'
import { SHORT_PAUSES } from './subject.js'

const FAILED_OVER_WITHIN_S = 30

/** The settings of a Cluster client that README requires for failovers. */
const CLUSTER_SETTINGS = {
  slotsRefreshInterval: 500,
  enableOfflineQueue: false,
  redisOptions: { commandTimeout: 500, connectTimeout: 1_000, maxRetriesPerRequest: 0 }
}

type Outage = Pick<Scene, 'start' | 'end'>
type Nodes = { masters: StartedRedis[]; replicas: StartedRedis[] }

/** Outages of servers with replicas. An outage with a failover lasts until there is a new master. */
export const FAILOVER_WAYS: readonly IdleWay[] = [
  sentinel('Sentinel, master out of memory', ({ masters }) => outOfMemory(masters)),
  sentinel('Sentinel, all stall', ({ masters, replicas }) => stalled([...masters, ...replicas])),
  { ...sentinel('Sentinel, failover', failover), idleSeconds: 2, lasts: 0 },
  cluster('Cluster, masters out of memory', ({ masters }) => outOfMemory(masters)),
  cluster('Cluster, all stall', ({ masters, replicas }) => stalled([...masters, ...replicas])),
  { ...cluster('Cluster, failover of one master', failover), lasts: 0 }
]

function sentinel(name: string, outageOf: (nodes: Nodes) => Outage): IdleWay {
  return {
    name,
    async open(t) {
      const { sentinels, name, master, replica } = await startSentinel(t)
      return {
        own: { sentinels, name, disconnectTimeout },
        inject: () =>
          closedAtTeardown(
            t,
            new Redis({
              sentinels,
              name,
              disconnectTimeout,
              commandTimeout: 500,
              socketTimeout: 1_000,
              ...SHORT_PAUSES
            })
          ),
        ...outageOf({ masters: [master], replicas: [replica] })
      }
    }
  }
}

function cluster(name: string, outageOf: (nodes: Nodes) => Outage): IdleWay {
  return {
    name,
    async open(t: Teardown) {
      const { masters, replicas, connect } = await startCluster(t)
      return { inject: () => connect(CLUSTER_SETTINGS), ...outageOf({ masters, replicas }) }
    }
  }
}

function outOfMemory(masters: StartedRedis[]): Outage {
  const operators = masters.map((master) => master.client())
  const limit = (bytes: string) => () => Promise.all(operators.map((each) => each.config('SET', 'maxmemory', bytes)))
  return { start: limit('1'), end: limit('0') }
}

function stalled(nodes: StartedRedis[]): Outage {
  return {
    start: () => nodes.map((node) => node.stall()),
    end: () => nodes.map((node) => node.resume())
  }
}

/** Kills the first master; the replica takes over. */
function failover({ masters: [master], replicas: [replica] }: Nodes): Outage {
  const operator = replica?.client()
  return {
    start: () => master?.kill(),
    end: () => until(async () => (await operator?.role())?.[0] === 'master', FAILED_OVER_WITHIN_S)
  }
}
