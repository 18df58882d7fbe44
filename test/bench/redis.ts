import { Redis } from 'ioredis'
import { RedisProcess } from '../fixtures/redis/redis-process.js'
import { type Cores, pin } from './cores.js'

export interface BenchRedis {
  socketPath: string
  version: string
  /** Total CPU time of the server. */
  cpuMicros(): Promise<number>
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
    usedBytes: async () => Number(await info('memory', 'used_memory')),
    async flush() {
      await client.flushall()
    },
    async commandsDuring(work) {
      const monitor = await client.monitor()
      const names: string[] = []
      const seen = new Promise<void>((resolve) => {
        monitor.on('monitor', (_time: string, [name = '', argument]: string[], source: string) => {
          if (argument === END) resolve()
          // Commands of scripts and heartbeats do not count.
          else if (source !== 'lua' && name.toLowerCase() !== 'ping') names.push(name.toUpperCase())
        })
      })
      await work()
      await client.echo(END)
      await seen
      monitor.disconnect()
      return names
    },
    async close() {
      client.disconnect()
      await server.destroy()
    }
  }
}

const END = 'that was all'
