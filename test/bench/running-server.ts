import { Child } from './child.js'
import type { Figures, Job } from './load/generate.js'
import type { Generator } from './load/generator.js'
import type { BenchRedis } from './redis.js'
import type { Started, Usage } from './serve.js'
import type { ServerName } from './servers/index.js'

/** A server of `servers/` in a process of its own. */
export interface RunningServer {
  name: ServerName
  title: string
  packages: string[]
  port: number
  tokenHeader: string | undefined
  endsAtLogout: boolean
  usage(): Promise<Usage>
  end(): Promise<void>
}

export interface Place {
  redis: BenchRedis
  upstreamUrl: string
  core: number | undefined
  nodeOptions?: string[]
}

/**
 * Megabytes. V8 grows it from 1 to 16 as it sees fit, and by chance stays at less for good: of two processes of the same
 * server one is then a quarter slower than the other.
 */
const SAME_YOUNG_GENERATION = '--min-semi-space-size=16'

/** @returns why not, when the server cannot be had with these versions */
export async function startServer(name: ServerName, place: Place): Promise<RunningServer | { notAvailable: string }> {
  const { redis, upstreamUrl, core } = place
  const nodeOptions = [...(place.nodeOptions ?? []), SAME_YOUNG_GENERATION]
  const child = new Child({ file: 'serve', args: [name, redis.socketPath, upstreamUrl], nodeOptions, core })
  const started = await child.next<Started>()
  if ('notAvailable' in started) {
    await child.end()
    return { notAvailable: `${started.title}: not available (${started.notAvailable})` }
  }
  return {
    ...started,
    name,
    usage() {
      child.send({})
      return child.next<Usage>()
    },
    end: () => child.end()
  }
}

/** What one job did, and what it took. */
export interface Measured extends Figures {
  perSecond: number
  /** Of the server's process, for each request. */
  cpuMicrosPerRequest: number
  redisCpuMicrosPerRequest: number
  rssBytes: number
  /** Share of its core that the server used: well under 1, something else was the limit. */
  busy: number
}

export async function measure(
  { server, redis, generator }: { server: RunningServer; redis: BenchRedis; generator: Generator },
  job: Omit<Partial<Job>, 'port'> & Pick<Job, 'requests'>
): Promise<Measured> {
  const read = () => Promise.all([server.usage(), redis.cpuMicros()])
  let before: ReturnType<typeof read> | undefined
  const figures = await generator.run({ ...job, port: server.port }, () => {
    before = read()
  })
  const [usageBefore, redisBefore] = await (before as ReturnType<typeof read>)
  const [usage, redisCpu] = await read()
  const cpuMicros = usage.cpuMicros - usageBefore.cpuMicros
  return {
    ...figures,
    perSecond: figures.count / figures.seconds,
    cpuMicrosPerRequest: cpuMicros / figures.count,
    redisCpuMicrosPerRequest: (redisCpu - redisBefore) / figures.count,
    rssBytes: usage.rssBytes,
    busy: cpuMicros / 1e6 / figures.seconds
  }
}
