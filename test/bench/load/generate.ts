// Started by the run as a separate process, which runs jobs in sequence.
import { Load } from './load.js'

export interface Job {
  port: number
  connections: number
  /** Complete requests, sent in rotation. */
  requests: string[]
  warmUpSeconds: number
  /** Duration of the measurement, or null to send each request once. */
  seconds: number | null
  /** The status of every reply, or null for any 2xx. */
  status: number | null
  keepAnswers: boolean
}

/** Messages of the process: all connections are open and warm, then the figures. After each the process waits for `{}`. */
export type GeneratorMessage = 'ready' | { figures: Figures } | { failure: string }

export interface Figures {
  count: number
  seconds: number
  p50Ms: number
  p99Ms: number
  /** CPU share of the generator, which may be the limit. */
  cpuMicros: number
  /** Replies in the order of the requests. */
  answers: string[]
}

const received: unknown[] = []
let wake = () => {}
process.on('message', (message) => {
  received.push(message)
  wake()
})
process.on('disconnect', () => process.exit())

for (;;) await carryOut((await next()) as Job)

async function carryOut(job: Job): Promise<void> {
  const load = new Load(job)
  try {
    await load.open()
    await post('ready')
    await post({ figures: await load.send(job.seconds, job.keepAnswers) })
  } catch (error) {
    process.send?.({ failure: String(error) })
  } finally {
    // After the reply to the figures: closing costs the server CPU time that is not part of the measurement.
    load.close()
  }
}

/** Sends a message and waits for the reply: the run reads the CPU times in between. */
async function post(message: GeneratorMessage): Promise<void> {
  process.send?.(message)
  await next()
}

async function next(): Promise<unknown> {
  while (received.length === 0) {
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
  return received.shift()
}
