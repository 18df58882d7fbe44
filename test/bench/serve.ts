// Started by the run as a process of its own: `serve.ts <file in servers/> <Redis socket> <upstream URL>`.
import { type BenchServer, NotAvailableError } from './servers/bench-server.js'

/** What the process says once, when it listens or cannot. */
export type Started =
  | { port: number; title: string; packages: string[]; tokenHeader: string | undefined; endsAtLogout: boolean }
  | { title: string; notAvailable: string }

/** What it answers to each message. */
export interface Usage {
  cpuMicros: number
  rssBytes: number
}

const [name, redisPath = '', upstreamUrl = ''] = process.argv.slice(2)
const { default: server } = (await import(`./servers/${name}.js`)) as { default: BenchServer }

process.on('message', () => {
  const { user, system } = process.cpuUsage()
  say({ cpuMicros: user + system, rssBytes: process.memoryUsage.rss() } satisfies Usage)
})
process.on('disconnect', () => process.exit())

say(await start())

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

function say(message: Started | Usage): void {
  process.send?.(message)
}
