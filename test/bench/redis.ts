import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import { RedisProcess } from '../fixtures/redis/redis-process.js'
import { type Cores, pin } from './cores.js'

export interface BenchRedis {
  socketPath: string
  version: string
  /** Total CPU time of the server. */
  cpuMicros(): Promise<number>
  /** Bytes of the keys: data and hash tables, without clients, buffers and scripts. */
  usedBytes(): Promise<number>
  flush(): Promise<void>
  /** The names of the commands that clients send during `work`. */
  commandsDuring(work: () => Promise<unknown>): Promise<string[]>
  close(): Promise<void>
}

export async function startRedis(cores: Cores | null): Promise<BenchRedis> {
  const server = new RedisProcess([])
  await server.start()
  if (cores !== null) pin(server.pid, cores.others)
  const client = new Redis(server.socketPath)

  async function info(section: string, field: string): Promise<string> {
    return new RegExp(`^${field}:(.*?)\r?$`, 'm').exec(await client.info(section))?.[1] ?? ''
  }

  return {
    socketPath: server.socketPath,
    version: await info('server', 'redis_version'),
    async cpuMicros() {
      const text = await client.info('cpu')
      const times = [...text.matchAll(/^used_cpu_(?:user|sys):([\d.]+)/gm)].map(([, seconds]) => Number(seconds))
      return times.reduce((sum, seconds) => sum + seconds, 0) * 1e6
    },
    async usedBytes() {
      const stats = toMap(await client.call('MEMORY', 'STATS'))
      const tables = toMap(stats.get('db.0') ?? [])
      const clients = String(await client.client('LIST')).matchAll(/ tot-mem=(\d+)/g)
      // The statistics count the clients as of some seconds before.
      const figures = ['dataset.bytes', 'clients.normal'].map((name) => stats.get(name) ?? 0)
      figures.push(...TABLES.map((name) => tables.get(name) ?? 0), ...[...clients].map(([, bytes]) => -Number(bytes)))
      return figures.reduce<number>((sum, bytes) => sum + Number(bytes), 0)
    },
    async flush() {
      await client.flushall()
    },
    async commandsDuring(work) {
      // The monitor of ioredis fails when a command arrives together with the reply to MONITOR.
      const socket = connect(server.socketPath)
      const lines = createInterface(socket)
      socket.write('MONITOR\r\n')
      await once(lines, 'line')
      const names: string[] = []
      const seen = new Promise<void>((resolve) => {
        lines.on('line', (line) => {
          const [, source, name = '', argument] = MONITORED.exec(line) ?? []
          if (argument === END) resolve()
          // Commands of scripts and heartbeats do not count.
          else if (source !== 'lua' && name.toLowerCase() !== 'ping') names.push(name.toUpperCase())
        })
      })
      await work()
      await client.echo(END)
      await seen
      socket.destroy()
      return names
    },
    async close() {
      client.disconnect()
      await server.destroy()
    }
  }
}

const TABLES = ['overhead.hashtable.main', 'overhead.hashtable.expires']

/** A reply of names and values in turn, as a map. */
function toMap(reply: unknown): Map<unknown, unknown> {
  const items = reply as unknown[]
  return new Map(items.flatMap((item, index) => (index % 2 === 0 ? [[item, items[index + 1]] as const] : [])))
}

const END = 'that was all'

/** A line of MONITOR: time, database and source, the command and its first argument. */
const MONITORED = /^\+\S+ \[\d+ (.+?)\] "(.+?)"(?: "(.*?)")?/
