import { Redis } from 'ioredis'
import type { RedisClient, RedisOptions } from '../../../lib/index.js'
import { userTag } from '../../../lib/model/session-id.js'
import { startCluster } from '../../fixtures/redis/start-cluster.js'
import { closedAtTeardown, type StartedRedis, type Teardown } from '../../fixtures/redis/start-redis.js'
import { startSentinel } from '../../fixtures/redis/start-sentinel.js'
import { isLinked } from '../../fixtures/redis/until-replicated.js'
import { until } from '../../fixtures/until.js'

/** Servers of which one master fails, or steps down, and its replica takes over. */
export interface Setup {
  /** What README recommends for such servers: a client of its own each time. */
  connect(): RedisClient | RedisOptions
  /** The master that is to fail; after each failover it is the other one of the two. */
  readonly master: StartedRedis
  /** So many users whose sessions this master has. */
  users(count: number): Promise<string[]>
  /** Asks the servers for a failover. Resolves when the replica has become the master. */
  plan(): Promise<void>
  /** Resolves when the replica is the master, and a client could know, to that time, by `performance.now()`. */
  untilFailedOver(): Promise<number>
  /** Brings back the old master, with all data of the new one. Resolves when they could fail over again. */
  heal(): Promise<void>
}

interface Servers {
  /** The master and its replica. */
  pair: [StartedRedis, StartedRedis]
  /** @param replica on the server that is to take over */
  order(replica: Redis): Promise<unknown>
  isHealthy(): Promise<boolean>
  /** Whether clients can know that this one is the master, whose role it has already. */
  isKnown?(master: Redis): Promise<boolean>
}

const FAILED_OVER_WITHIN_S = 30
const HEALED_WITHIN_S = 60

/** Each of the two set-ups with a failover, by its name. */
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
        // As of +switch-master: any later it is not the servers that take their time.
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

    /** Those whose slot is one of the first master's. */
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
            maxRetriesPerRequest: 0,
            autoResendUnfulfilledCommands: false
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

  /** One that loses its election is given up by a Cluster after 5 s, and has to be asked for again. */
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
      // On a machine that is busy the servers may have taken a healthy master for dead meanwhile, and chosen anew.
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
    // It does not run: it was killed.
    await server.restart()
  }
}

function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false
  )
}
