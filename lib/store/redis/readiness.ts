import { withDeadline } from '../../internal/deadline.js'
import { redactError } from '../../internal/redact-error.js'
import type { RedisStore } from './redis-store.js'
import type { SessionServer } from './servers.js'

/** Where the operator reads which server is missing. */
type Log = { error(details: object, text: string): void; info(text: string): void }

/**
 * Asks every server to read and to run the script, not only the one that has some user: of a Cluster one dead master must
 * not take every instance out of service.
 */
export class Readiness {
  readonly #store: RedisStore
  readonly #timeoutMs: number
  readonly #log: Log
  /** Names of the servers that did not respond the last time. */
  #missing = new Set<string>()

  constructor(store: RedisStore, timeoutMs: number, log: Log) {
    this.#store = store
    this.#timeoutMs = timeoutMs
    this.#log = log
  }

  /** Resolves when most users can be served; else rejects with what one of the other servers says. */
  async check(): Promise<void> {
    const servers = this.#store.servers.all()
    const results = await Promise.allSettled(servers.map((server) => this.#ping(server)))
    const errors = results.map((result) => (result.status === 'rejected' ? result.reason : null))
    const shareOf = (isPart: (index: number) => boolean) =>
      servers.reduce((sum, { share }, index) => sum + (isPart(index) ? share : 0), 0)
    this.#tell(servers, errors)
    if (shareOf((index) => errors[index] === null) * 2 > shareOf(() => true)) return
    throw errors.find((error) => error !== null) ?? new Error('No server of the Cluster is known')
  }

  #ping({ tag }: SessionServer): Promise<void> {
    return withDeadline(this.#store.ping(tag), this.#timeoutMs)
  }

  /** Once each time: a server of several. */
  #tell(servers: SessionServer[], errors: unknown[]): void {
    if (servers.length === 1) return
    const missing = new Set<string>()
    for (const [index, { name }] of servers.entries()) {
      const error = errors[index]
      if (error !== null) missing.add(name)
      const wasMissing = this.#missing.has(name)
      if (error !== null && !wasMissing) {
        this.#log.error({ cause: redactError(error).message }, `The session store at ${name} is not ready`)
      }
      if (error === null && wasMissing) this.#log.info(`The session store at ${name} is ready again`)
    }
    this.#missing = missing
  }
}
