// Started by the run as a separate process: `serve.ts <file in servers/> <Redis socket> <upstream URL>`.
import { type PubSubEcho, startPubSubEcho } from './pub-sub-echo.js'
import { type BenchServer, NotAvailableError } from './servers/bench-server.js'

/** The message of the process when the server listens or fails. */
export type Started =
  | { port: number; title: string; packages: string[]; tokenHeader: string | undefined; endsAtLogout: boolean }
  | { title: string; notAvailable: string }

/** A message of the run. */
export interface Order {
  /**
   * - `usage`: reply with {@link Usage}
   * - `heap`: collect garbage, and reply with {@link Usage}
   * - `subscribe`: answer publications of other processes from now on, and reply with {@link PubSub}
   * - `publish`: publish, wait for the answers of the other processes, and reply with {@link PubSub}
   */
  kind: 'usage' | 'heap' | 'subscribe' | 'publish'
  /** Of `publish`: number of answers. */
  answers?: number
}

/** The reply to `usage` and `heap`. */
export interface Usage {
  cpuMicros: number
  rssBytes: number
  heapBytes: number
}

/** The reply to `subscribe` and `publish`. */
export interface PubSub {
  /** Milliseconds from the publication to the answer of each other process. */
  roundTripsMs: number[]
}

const [name, redisPath = '', upstreamUrl = ''] = process.argv.slice(2)
const { default: server } = (await import(`./servers/${name}.js`)) as { default: BenchServer }

let echo: PubSubEcho | undefined

process.on('message', async (message) => {
  const { kind, answers = 0 } = message as Order
  if (kind === 'usage') return post(readUsage())
  if (kind === 'heap') {
    // The second run frees what finalizers of the first run have released.
    for (let run = 0; run < 2; run++) globalThis.gc?.()
    return post(readUsage())
  }
  echo ??= await startPubSubEcho(redisPath)
  post({ roundTripsMs: kind === 'publish' ? await echo.publish(answers) : [] } satisfies PubSub)
})
process.on('disconnect', () => process.exit())

post(await start())

async function start(): Promise<Started> {
  const { title, packages, tokenHeader, endsAtLogout = true } = server
  try {
    const { port } = await server.start({ redisPath, upstreamUrl })
    return { port, title, packages, tokenHeader, endsAtLogout }
  } catch (error) {
    if (error instanceof NotAvailableError) return { title, notAvailable: error.message }
    throw error
  }
}

function readUsage(): Usage {
  const { user, system } = process.cpuUsage()
  return { cpuMicros: user + system, rssBytes: process.memoryUsage.rss(), heapBytes: process.memoryUsage().heapUsed }
}

function post(message: Started | Usage | PubSub): void {
  process.send?.(message)
}
