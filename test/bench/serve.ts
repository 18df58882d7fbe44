// Started by the run as a separate process: `serve.ts <file in servers/> <Redis socket> <upstream URL>`.
import { type BenchServer, NotAvailableError } from './servers/bench-server.js'

/** The message of the process when the server listens or fails. */
export type Started =
  | { port: number; title: string; packages: string[]; tokenHeader: string | undefined; endsAtLogout: boolean }
  | { title: string; notAvailable: string }

/** The reply to each message. */
export interface Usage {
  cpuMicros: number
  rssBytes: number
}

const [name, redisPath = '', upstreamUrl = ''] = process.argv.slice(2)
const { default: server } = (await import(`./servers/${name}.js`)) as { default: BenchServer }

process.on('message', () => {
  const { user, system } = process.cpuUsage()
  post({ cpuMicros: user + system, rssBytes: process.memoryUsage.rss() } satisfies Usage)
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

function post(message: Started | Usage): void {
  process.send?.(message)
}
