import { mkdir, rmdir } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import type { Redis } from 'ioredis'
import { createMemoryStore, type SessionStore } from '../../../lib/index.js'
import { startSocketProxy } from '../../fixtures/redis/socket-proxy.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { until } from '../../fixtures/until.js'
import { FAILOVER_WAYS } from './idle-failovers.js'
import { clientsOf, flapping, type IdleWay, oneServer } from './idle-scene.js'
import { saveUntil, snapshotOf } from './refusals.js'

const OOM = oneServer({
  name: 'out of memory',
  start: (_, operator) => operator.config('SET', 'maxmemory', '1'),
  end: (_, operator) => operator.config('SET', 'maxmemory', '0')
})

const SIGSTOP = oneServer({
  name: 'SIGSTOP',
  start: (redis) => redis.stall(),
  end: (redis) => redis.resume()
})

const READ_ONLY = oneServer({
  name: 'read-only',
  start: (_, operator) => operator.replicaof('127.0.0.1', 1),
  end: (_, operator) => operator.replicaof('NO', 'ONE')
})

const PAUSED = oneServer({
  name: 'CLIENT PAUSE WRITE',
  start: (_, operator) => operator.call('CLIENT', 'PAUSE', '60000', 'WRITE'),
  end: (_, operator) => operator.call('CLIENT', 'UNPAUSE')
})

/** No packet passes, no side is notified, and packets in flight are lost. */
const NETWORK_CUT: IdleWay = {
  name: 'network cut',
  async open(t) {
    const redis = await startRedis(t)
    let isCut = false
    const { address, drop } = await startSocketProxy(t, redis, { host: '127.0.0.1', port: 0 }, (client, server) => {
      client.on('data', (bytes) => isCut || server.write(bytes))
      server.on('data', (bytes) => isCut || client.write(bytes))
      client.on('close', () => server.destroy())
      server.on('close', () => client.destroy())
    })
    return {
      ...clientsOf(t, `redis://127.0.0.1:${(address as AddressInfo).port}`),
      start() {
        isCut = true
      },
      end() {
        isCut = false
        drop()
      }
    }
  }
}

/** A custom store. Each app measures downtime separately. */
function customStore(name: string, methods: readonly (keyof SessionStore)[]): IdleWay {
  return {
    name,
    isShared: false,
    async open(t) {
      const memory = createMemoryStore()
      t.teardown(() => memory.close())
      let isDown = false
      const store: SessionStore = { ...memory }
      for (const method of ['create', 'find', 'replace', 'end', 'endAll', 'list'] as const) {
        const call = memory[method].bind(memory) as (...args: unknown[]) => Promise<unknown>
        const run = async (...args: unknown[]) => {
          if (isDown && methods.includes(method)) throw new Error('no disk')
          return call(...args)
        }
        Object.assign(store, { [method]: run })
      }
      return {
        options: { store },
        start() {
          isDown = true
        },
        end() {
          isDown = false
        }
      }
    }
  }
}

const WRITES = ['create', 'replace', 'end', 'endAll'] as const

const QUICK_NAMES = ['out of memory', 'read-only', 'SIGSTOP', 'flapping: SIGSTOP', 'own store rejects writes']

/** All outages of writes or responses. */
export const IDLE_WAYS: readonly IdleWay[] = [
  OOM,
  READ_ONLY,
  oneServer({
    name: 'too few replicas',
    start: (_, operator) => operator.config('SET', 'min-replicas-to-write', '1'),
    end: (_, operator) => operator.config('SET', 'min-replicas-to-write', '0')
  }),
  oneServer({
    name: 'MISCONF',
    args: ['--save', '3600 1000000'],
    async start(redis, operator) {
      await mkdir(snapshotOf(redis.socketPath))
      await saveUntil(operator, 'err')
    },
    async end(redis, operator) {
      await rmdir(snapshotOf(redis.socketPath))
      await saveUntil(operator, 'ok')
    }
  }),
  PAUSED,
  oneServer({
    name: 'CLIENT PAUSE ALL',
    // A pause of all commands cannot be ended early, so the pause has the duration of the outage.
    start: (_, operator) => operator.call('CLIENT', 'PAUSE', '4500', 'ALL'),
    end: (_, operator) => operator.ping()
  }),
  SIGSTOP,
  oneServer({
    name: 'killed, with an append-only file',
    args: ['--appendonly', 'yes', '--appendfsync', 'always'],
    start: (redis) => redis.kill(),
    end: (redis) => redis.restart()
  }),
  oneServer({
    name: 'killed, with a snapshot',
    args: ['--save', '3600 1000000'],
    async start(redis, operator) {
      await operator.save()
      await redis.kill()
    },
    end: (redis) => redis.restart()
  }),
  NETWORK_CUT,
  oneServer({
    name: 'ACL without writes',
    start: (_, operator) => operator.call('ACL', 'SETUSER', 'default', '-@write'),
    end: (_, operator) => operator.call('ACL', 'SETUSER', 'default', '+@all')
  }),
  oneServer({
    name: 'ACL without scripts',
    start: (_, operator) => operator.call('ACL', 'SETUSER', 'default', '-@scripting'),
    end: (_, operator) => operator.call('ACL', 'SETUSER', 'default', '+@all')
  }),
  withReplica(),
  flapping(OOM),
  flapping(SIGSTOP),
  flapping(NETWORK_CUT),
  ...FAILOVER_WAYS,
  customStore('own store rejects all', ['find', 'list', ...WRITES]),
  customStore('own store rejects writes', WRITES),
  flapping(customStore('own store rejects all', ['find', 'list', ...WRITES]))
]

/** With `minReplicas` and a replica that does not respond, the master refuses writes. */
function withReplica(): IdleWay {
  return {
    name: 'minReplicas, the replica stalls',
    async open(t) {
      const args = ['--min-replicas-to-write', '1', '--min-replicas-max-lag', '1', '--repl-diskless-sync-delay', '0']
      const master = await startRedis(t, { tcp: true, args })
      const port = new URL(master.url ?? '').port
      const replica = await startRedis(t, { args: ['--replicaof', '127.0.0.1', port] })
      const operator = master.client()
      await until(() => isWritable(operator))
      return {
        ...clientsOf(t, master.socketPath),
        options: { minReplicas: 1 },
        async start() {
          replica.stall()
          await until(async () => !(await isWritable(operator)))
        },
        async end() {
          replica.resume()
          await until(() => isWritable(operator))
        }
      }
    }
  }
}

async function isWritable(operator: Redis): Promise<boolean> {
  return operator.set('a key', '', 'PX', 1).then(
    () => true,
    () => false
  )
}

/** The outages in test/long/faults.test.ts. */
export const QUICK_IDLE_WAYS: readonly IdleWay[] = IDLE_WAYS.filter(({ name }) => QUICK_NAMES.includes(name))
