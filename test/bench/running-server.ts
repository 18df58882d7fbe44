import { Child } from './child.js'
import type { Figures, Job } from './load/generate.js'
import type { Generator } from './load/generator.js'
import type { BenchRedis } from './redis.js'
import type { Order, PubSub, Started, Usage } from './serve.js'
import type { ServerName } from './servers/index.js'

/** A server of `servers/` in a separate process. */
export interface RunningServer {
  name: ServerName
  title: string
  packages: string[]
  port: number
  tokenHeader: string | undefined
  endsAtLogout: boolean
  usage(): Promise<Usage>
  /** Bytes of the heap after a full garbage collection. */
  heapBytes(): Promise<number>
  /** Opens the process' own connections for publications; again: has no effect. */
  subscribe(): Promise<void>
  /** @returns milliseconds until the answer of each of the other processes, which must have subscribed */
  publish(answers: number): Promise<number[]>
  end(): Promise<void>
}

export interface Place {
  redis: BenchRedis
  upstreamUrl: string
  core: number | undefined
  nodeOptions?: string[]
}

/**
 * Semi-space size in megabytes. V8 grows the semi-space from 1 to 16 and may stop early by chance, which makes a
 * process a quarter slower than another process of the same server.
 */
const SAME_YOUNG_GENERATION = '--min-semi-space-size=16'
const GARBAGE_COLLECTION = '--expose-gc'

/** @returns the reason when the server does not work with the installed versions */
export async function startServer(name: ServerName, place: Place): Promise<RunningServer | { notAvailable: string }> {
  const { redis, upstreamUrl, core } = place
  const nodeOptions = [...(place.nodeOptions ?? []), SAME_YOUNG_GENERATION, GARBAGE_COLLECTION]
  const child = new Child({ file: 'serve', args: [name, redis.socketPath, upstreamUrl], nodeOptions, core })
  const started = await child.next<Started>()
  if ('notAvailable' in started) {
    await child.end()
    return { notAvailable: `${started.title}: not available (${started.notAvailable})` }
  }
  function order<Reply>(message: Order): Promise<Reply> {
    child.send(message)
    return child.next<Reply>()
  }
  return {
    ...started,
    name,
    usage: () => order<Usage>({ kind: 'usage' }),
    heapBytes: async () => (await order<Usage>({ kind: 'heap' })).heapBytes,
    async subscribe() {
      await order({ kind: 'subscribe' })
    },
    publish: async (answers) => (await order<PubSub>({ kind: 'publish', answers })).roundTripsMs,
    end: () => child.end()
  }
}

/** The figures and the cost of a job. */
export interface Measured extends Figures {
  perSecond: number
  /** CPU time of the server's process per request. */
  cpuMicrosPerRequest: number
  redisCpuMicrosPerRequest: number
  rssBytes: number
  /** Used share of the server's core. Well under 1, another process was the limit. */
  busy: number
}

export async function measure(
  { server, redis, generator }: { server: RunningServer; redis: BenchRedis; generator: Generator },
  job: Omit<Partial<Job>, 'port'> & Pick<Job, 'requests'>
): Promise<Measured> {
  const probes: [Usage, number][] = []
  const figures = await generator.run({ ...job, port: server.port }, async () => {
    // The first reply comes after the server has accepted the connections.
    await server.usage()
    probes.push(await Promise.all([server.usage(), redis.cpuMicros()]))
  })
  const [[usageBefore, redisBefore], [usage, redisCpu]] = probes as [[Usage, number], [Usage, number]]
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
