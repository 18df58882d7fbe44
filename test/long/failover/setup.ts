import { Redis } from 'ioredis'
import type { RedisClient, RedisOptions } from '../../../lib/index.js'
import { userTag } from '../../../lib/model/session-id.js'
import { startCluster } from '../../fixtures/redis/start-cluster.js'
import { closedAtTeardown, type StartedRedis, type Teardown } from '../../fixtures/redis/start-redis.js'
import { startSentinel } from '../../fixtures/redis/start-sentinel.js'
import { isLinked } from '../../fixtures/redis/until-replicated.js'
import { until } from '../../fixtures/until.js'

/** Servers with a master that fails or steps down, and a replica that takes over. */
export interface Setup {
  /** A new client, or the options for a client, as README recommends. */
  connect(): RedisClient | RedisOptions
  /** The current master, which fails next. */
  readonly master: StartedRedis
  /** Users whose sessions are on the master. */
  users(count: number): Promise<string[]>
  /** Starts a planned failover. Resolves when the replica is the master. */
  plan(): Promise<void>
  /** Resolves to the `performance.now()` when the replica is the master and clients can know the new master. */
  untilFailedOver(): Promise<number>
  /** Restarts the old master as a replica. Resolves when another failover is possible. */
  heal(): Promise<void>
}

interface Servers {
  /** The master and the replica. */
  pair: [StartedRedis, StartedRedis]
  /** @param replica client of the server that takes over */
  order(replica: Redis): Promise<unknown>
  isHealthy(): Promise<boolean>
  /** Whether clients can know the new master. */
  isKnown?(master: Redis): Promise<boolean>
}

const FAILED_OVER_WITHIN_S = 30
const HEALED_WITHIN_S = 60

/** The setups with a failover, by name. */
export const SETUPS = {
  async Sentinel(t: Teardown): Promise<Setup> {
    const { sentinels, name, master, replica } = await startSentinel(t)
    const watchers = sentinels.map(({ port }) => closedAtTeardown(t, new Redis(port)))

    async function seesReplica(sentinel: Redis): Promise<boolean> {
      const replicas = String(await sentinel.call('SENTINEL', 'REPLICAS', name))
      return replicas.includes('flags,slave,') && replicas.includes('master-link-status,ok')
    }

    return createSetup(
      {
        pair: [master, replica],
        order: async () => watchers[0]?.call('SENTINEL', 'FAILOVER', name),
        // Sentinels know the master from +switch-master on; later delays are delays of the client.
        isKnown: async (server) => {
          const [, port] = (await server.config('GET', 'port')) as string[]
          const seen = await Promise.all(
            watchers.map((watcher) => watcher.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name))
          )
          return seen.every((address) => String(address).endsWith(`,${port}`))
        },
        isHealthy: async () => (await Promise.all(watchers.map(seesReplica))).every(Boolean)
      },
      () => ({ sentinels, name }),
      async (count) => Array.from({ length: count }, (_, i) => `user-${i}`)
    )
  },

  async Cluster(t: Teardown): Promise<Setup> {
    const { masters, replicas, connect } = await startCluster(t)
    const nodes = [...masters, ...replicas].map((node) => node.client({ commandTimeout: 1_000 }))

    /** Users whose slot belongs to the first master. */
    async function users(count: number): Promise<string[]> {
      const found: string[] = []
      for (let i = 0; found.length < count; i++) {
        const slot = Number(await nodes[1]?.cluster('KEYSLOT', `fjs:{${userTag(`user-${i}`)}}`))
        if (slot <= 5_460) found.push(`user-${i}`)
      }
      return found
    }

    async function isServing(node: Redis): Promise<boolean> {
      const text = String(await node.cluster('NODES'))
      const isWell = text.split(' ').every((word) => !/fail|handshake/.test(word))
      return isWell && (await node.cluster('INFO')).includes('cluster_state:ok')
    }

    return createSetup(
      {
        pair: [masters[0], replicas[0]],
        order: (replica) => replica.cluster('FAILOVER'),
        isHealthy: async () =>
          (await Promise.all(nodes.map((node) => isServing(node).catch(() => false)))).every(Boolean)
      },
      () =>
        connect({
          slotsRefreshInterval: 1_000,
          maxRedirections: 3,
          retryDelayOnTryAgain: 10,
          enableAutoPipelining: true,
          enableOfflineQueue: false,
          redisOptions: {
            commandTimeout: 500,
            connectTimeout: 1_000,
            socketTimeout: 1_000,
            maxRetriesPerRequest: 0
          }
        }),
      users
    )
  }
}

export type SetupName = keyof typeof SETUPS

function createSetup(servers: Servers, connect: Setup['connect'], users: Setup['users']): Setup {
  const clients = servers.pair.map((server) => server.client()) as [Redis, Redis]
  let ofMaster: 0 | 1 = 0
  const [masterClient, replicaClient] = [() => clients[ofMaster], () => clients[ofMaster === 0 ? 1 : 0]]

  const isPromoted = async () => (await replicaClient().role())[0] === 'master'

  /** A Cluster drops a failover with a lost election after 5 s, so the order is repeated. */
  async function order(): Promise<void> {
    await until(async () => (await isPromoted()) || succeeds(servers.order(replicaClient())))
    await until(isPromoted, 6)
  }

  return {
    connect,
    users,
    get master() {
      return servers.pair[ofMaster]
    },
    async plan() {
      await until(() => succeeds(order()), FAILED_OVER_WITHIN_S)
      ofMaster = ofMaster === 0 ? 1 : 0
    },
    async untilFailedOver() {
      await until(isPromoted, FAILED_OVER_WITHIN_S)
      await until(async () => (await servers.isKnown?.(replicaClient())) ?? true, FAILED_OVER_WITHIN_S)
      const at = performance.now()
      ofMaster = ofMaster === 0 ? 1 : 0
      return at
    },
    async heal() {
      const old = servers.pair[ofMaster === 0 ? 1 : 0]
      await revive(old)
      // On a busy machine the servers may have declared a healthy master dead, and elected another master.
      await until(async () => {
        const linked = await Promise.all(clients.map((client) => isLinked(client).catch(() => false)))
        if (linked[0] === linked[1]) return false
        ofMaster = linked[0] ? 1 : 0
        return true
      }, HEALED_WITHIN_S)
      await until(async () => (await masterClient().wait(1, 100)) === 1, HEALED_WITHIN_S)
      await until(servers.isHealthy, HEALED_WITHIN_S)
    }
  }
}

async function revive(server: StartedRedis): Promise<void> {
  try {
    server.resume()
  } catch {
    // The server was killed.
    await server.restart()
  }
}

function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false
  )
}
