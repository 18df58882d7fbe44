// Started by the run as a process of its own; it carries out one job after the other.
import { type Answer, HttpConnection } from './http-connection.js'

export interface Job {
  port: number
  connections: number
  /** Whole requests, sent in turn. */
  requests: string[]
  warmUpSeconds: number
  /** How long to measure, or null: until each request was sent once. */
  seconds: number | null
  keepAnswers: boolean
}

/** What the process says: first that the warm-up is over, then what came of it. */
export type Said = 'measuring' | { figures: Figures } | { failure: string }

export interface Figures {
  count: number
  seconds: number
  p50Ms: number
  p99Ms: number
  /** CPU of this process, to see whether it was the limit. */
  cpuMicros: number
  /** In the order of the requests. */
  answers: string[]
}

process.on('message', async (job: Job) => {
  try {
    say({ figures: await carryOut(job) })
  } catch (error) {
    say({ failure: String(error) })
  }
})
process.on('disconnect', () => process.exit())

async function carryOut(job: Job): Promise<Figures> {
  const requests = job.requests.map((request) => Buffer.from(request, 'latin1'))
  if (job.warmUpSeconds > 0) await send({ ...job, seconds: job.warmUpSeconds, keepAnswers: false }, requests)
  say('measuring')
  return send(job, requests)
}

function send(job: Job, requests: Buffer[]): Promise<Figures> {
  return new Promise((resolve, reject) => {
    const latenciesMs: number[] = []
    const answers: string[] = []
    const started = performance.now()
    const cpuStarted = process.cpuUsage()
    const stopAt = job.seconds === null ? Number.POSITIVE_INFINITY : started + job.seconds * 1_000
    const limit = job.seconds === null ? requests.length : Number.POSITIVE_INFINITY
    let sent = 0
    let open = Math.min(job.connections, limit)
    const connections = Array.from({ length: open }, openConnection)

    function openConnection(): HttpConnection {
      let index = 0
      let sentAt = 0
      const connection = new HttpConnection(job.port, onAnswer, fail)
      sendNext()
      return connection

      function sendNext(): void {
        index = sent++ % requests.length
        sentAt = performance.now()
        connection.send(requests[index] as Buffer)
      }

      function onAnswer({ status, text }: Answer): void {
        const now = performance.now()
        if (status < 200 || status > 299) fail(new Error(text))
        latenciesMs.push(now - sentAt)
        if (job.keepAnswers) answers[index] = text
        if (now < stopAt && sent < limit) sendNext()
        else close(now)
      }

      function close(now: number): void {
        connection.close()
        open -= 1
        if (open === 0) resolve(summarise(now))
      }
    }

    function fail(error: Error): void {
      for (const connection of connections) connection.close()
      reject(error)
    }

    function summarise(now: number): Figures {
      const { user, system } = process.cpuUsage(cpuStarted)
      const sorted = Float64Array.from(latenciesMs).sort()
      const quantile = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? 0
      return {
        count: sorted.length,
        seconds: (now - started) / 1_000,
        p50Ms: quantile(0.5),
        p99Ms: quantile(0.99),
        cpuMicros: user + system,
        answers
      }
    }
  })
}

function say(message: Said): void {
  process.send?.(message)
}
