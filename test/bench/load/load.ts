import type { Figures, Job } from './generate.js'
import { type Answer, HttpConnection } from './http-connection.js'

/** The open connections of a job. */
export class Load {
  readonly #job: Job
  readonly #requests: Buffer[]
  readonly #connections: HttpConnection[]
  #onAnswer: (connection: number, answer: Answer) => void = () => {}
  #onError: (error: Error) => void = () => {}
  #error: Error | undefined

  constructor(job: Job) {
    this.#job = job
    this.#requests = job.requests.map((request) => Buffer.from(request, 'latin1'))
    const count = job.seconds === null ? Math.min(job.connections, job.requests.length) : job.connections
    const fail = (error: Error) => {
      this.#error ??= error
      this.#onError(error)
    }
    this.#connections = Array.from(
      { length: count },
      (_, index) => new HttpConnection(job.port, (answer) => this.#onAnswer(index, answer), fail)
    )
  }

  /** Opens the connections and warms the server up. */
  async open(): Promise<void> {
    const { warmUpSeconds } = this.#job
    const opened = this.#connections.map((connection) => connection.opened)
    await new Promise<unknown>((resolve, reject) => {
      this.#onError = reject
      if (this.#error !== undefined) reject(this.#error)
      Promise.all(opened).then(resolve, reject)
    })
    if (warmUpSeconds > 0) await this.send(warmUpSeconds, false)
  }

  /** @param seconds null: each request once */
  send(seconds: number | null, keepAnswers: boolean): Promise<Figures> {
    const requests = this.#requests
    const connections = this.#connections
    const { status: expected } = this.#job
    return new Promise((resolve, reject) => {
      const latenciesMs: number[] = []
      const answers: string[] = []
      const sentAt: number[] = []
      const indexes: number[] = []
      const started = performance.now()
      const cpuStarted = process.cpuUsage()
      const stopAt = seconds === null ? Number.POSITIVE_INFINITY : started + seconds * 1_000
      const limit = seconds === null ? requests.length : Number.POSITIVE_INFINITY
      let sent = 0
      let busy = connections.length

      this.#onError = reject
      this.#onAnswer = (connection, { status, text }) => {
        const now = performance.now()
        if (expected === null ? status < 200 || status > 299 : status !== expected) return reject(new Error(text))
        latenciesMs.push(now - (sentAt[connection] ?? now))
        if (keepAnswers) answers[indexes[connection] ?? 0] = text
        if (now < stopAt && sent < limit) return sendNext(connection)
        busy -= 1
        if (busy === 0) resolve(summarize(now))
      }
      for (const index of connections.keys()) sendNext(index)

      function sendNext(connection: number): void {
        const index = sent++ % requests.length
        indexes[connection] = index
        sentAt[connection] = performance.now()
        connections[connection]?.send(requests[index] as Buffer)
      }

      function summarize(now: number): Figures {
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

  close(): void {
    for (const connection of this.#connections) connection.close()
  }
}
