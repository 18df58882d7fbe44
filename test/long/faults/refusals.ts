import { mkdir, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Redis } from 'ioredis'
import { encodeBulk } from '../../fixtures/redis/resp.js'
import { until } from '../../fixtures/until.js'
import { DOWN, type Fault, READ_ONLY, type Stage, TRANSPORT_CLIENTS } from './fault.js'

const LOADING = '-LOADING Redis is loading the dataset in memory\r\n'
const WHILE_LOADING = ['INFO', 'HELLO', 'AUTH', 'CLIENT', 'SUBSCRIBE']

/** Redis responds with errors. */
export const REFUSALS: readonly Fault[] = [
  {
    name: 'READONLY',
    during: READ_ONLY,
    start: ({ operator }) => operator.replicaof('127.0.0.1', 1),
    end: ({ operator }) => operator.replicaof('NO', 'ONE')
  },
  {
    name: 'MASTERDOWN',
    during: DOWN,
    args: ['--replica-serve-stale-data', 'no'],
    start: ({ operator }) => operator.replicaof('127.0.0.1', 1),
    end: ({ operator }) => operator.replicaof('NO', 'ONE')
  },
  {
    name: 'OOM',
    // Deletes work without memory, so a logout works.
    during: { ...READ_ONLY, logout: [204] },
    start: ({ operator }) => operator.config('SET', 'maxmemory', '1'),
    end: ({ operator }) => operator.config('SET', 'maxmemory', '0')
  },
  {
    name: 'MISCONF',
    during: READ_ONLY,
    args: ['--save', '3600 1000000'],
    async start({ redis, operator }) {
      await mkdir(snapshotOf(redis.socketPath))
      await saveUntil(operator, 'err')
    },
    async end({ redis, operator }) {
      await rmdir(snapshotOf(redis.socketPath))
      await saveUntil(operator, 'ok')
    }
  },
  {
    name: 'NOREPLICAS',
    during: READ_ONLY,
    start: ({ operator }) => operator.config('SET', 'min-replicas-to-write', '1'),
    end: ({ operator }) => operator.config('SET', 'min-replicas-to-write', '0')
  },
  {
    name: 'NOAUTH',
    during: DOWN,
    clients: TRANSPORT_CLIENTS,
    start: (stage) => changePassword(stage, 'another'),
    end: ({ operator }) => operator.config('SET', 'requirepass', '')
  },
  {
    name: 'WRONGPASS',
    during: DOWN,
    clients: TRANSPORT_CLIENTS,
    password: 'the first',
    start: (stage) => changePassword(stage, 'another'),
    end: ({ operator }) => operator.config('SET', 'requirepass', 'the first')
  },
  {
    name: 'BUSY',
    during: DOWN,
    args: ['--lua-time-limit', '50'],
    async start({ redis, operator }) {
      void redis
        .client()
        .eval('while true do end', 0)
        .catch(() => {})
      await until(() => refuses(operator, 'BUSY'))
    },
    end: ({ operator }) => operator.script('KILL')
  },
  {
    // As a replica during a full synchronization.
    name: 'LOADING',
    during: DOWN,
    way: 'proxy',
    start: ({ proxy }) => proxy.answer(([name = '']) => (WHILE_LOADING.includes(name) ? undefined : LOADING)),
    end: ({ proxy }) => proxy.answer(null)
  },
  {
    name: 'LOADING after a restart',
    during: DOWN,
    way: 'proxy',
    start({ proxy }) {
      const info = encodeBulk('# Persistence\r\nloading:1\r\nloading_eta_seconds:600\r\n')
      proxy.answer(([name = '']) => {
        if (name === 'INFO') return info
        return WHILE_LOADING.includes(name) ? undefined : LOADING
      })
      proxy.drop()
    },
    end: ({ proxy }) => proxy.answer(null)
  }
]

/** The path of the snapshot. A folder at the path makes snapshots fail. */
export function snapshotOf(socketPath: string): string {
  return join(dirname(socketPath), 'dump.rdb')
}

/** Saves a snapshot, and resolves when the snapshot has succeeded (`ok`) or failed (`err`). */
export async function saveUntil(operator: Redis, status: 'ok' | 'err'): Promise<void> {
  await operator.bgsave()
  await until(async () => {
    const info = await operator.info('persistence')
    return info.includes('rdb_bgsave_in_progress:0') && info.includes(`rdb_last_bgsave_status:${status}`)
  })
}

/** Connected clients stay authenticated, so all connections are closed. */
async function changePassword({ operator }: Stage, password: string): Promise<void> {
  await operator.config('SET', 'requirepass', password)
  for (const type of ['normal', 'pubsub']) await operator.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
}

async function refuses(client: Redis, code: string): Promise<boolean> {
  return client.ping().then(
    () => false,
    (error: Error) => error.message.startsWith(code)
  )
}
