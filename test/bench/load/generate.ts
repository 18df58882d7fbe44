// Started by the run as a separate process, which runs jobs in sequence.
import { type Answer, HttpConnection } from './http-connection.js'

export interface Job {
  port: number
  connections: number
  /** Complete requests, sent in rotation. */
  requests: string[]
  warmUpSeconds: number
  /** Duration of the measurement, or null to send each request once. */
  seconds: number | null
  keepAnswers: boolean
}

/** Messages of the process: the end of the warm-up, then the figures. */
export type GeneratorMessage = 'measuring' | { figures: Figures } | { failure: string }

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

process.on('message', async (job: Job) => {
  try {
    post({ figures: await carryOut(job) })
  } catch (error) {
    post({ failure: String(error) })
  }
})
process.on('disconnect', () => process.exit())

async function carryOut(job: Job): Promise<Figures> {
  const requests = job.requests.map((request) => Buffer.from(request, 'latin1'))
  if (job.warmUpSeconds > 0) await send({ ...job, seconds: job.warmUpSeconds, keepAnswers: false }, requests)
  post('measuring')
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

function post(message: GeneratorMessage): void {
  process.send?.(message)
}
