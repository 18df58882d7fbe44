import { withDeadline } from '../../internal/deadline.js'
import { redactError } from '../../internal/redact-error.js'
import type { RedisStore } from './redis-store.js'
import type { SessionServer } from './servers.js'

/** The log for servers that do not respond. */
type Log = { error(details: object, text: string): void; info(text: string): void }

/**
 * Checks that every server can be read from and can run the script. With a Cluster the check succeeds while most users
 * can be served: one dead master must not take all instances out of service.
 */
export class Readiness {
  readonly #store: RedisStore
  readonly #timeoutMs: number
  readonly #log: Log
  /** Names of the servers that failed the last check. */
  #missing = new Set<string>()

  constructor(store: RedisStore, timeoutMs: number, log: Log) {
    this.#store = store
    this.#timeoutMs = timeoutMs
    this.#log = log
  }

  /** Resolves when most users can be served; else rejects with the error of one of the failed servers. */
  async check(): Promise<void> {
    const servers = this.#store.servers.all()
    const results = await Promise.allSettled(servers.map((server) => this.#ping(server)))
    const errors = results.map((result) => (result.status === 'rejected' ? result.reason : null))
    const shareOf = (isPart: (index: number) => boolean) =>
      servers.reduce((sum, { share }, index) => sum + (isPart(index) ? share : 0), 0)
    this.#logChanges(servers, errors)
    if (shareOf((index) => errors[index] === null) * 2 > shareOf(() => true)) return
    throw errors.find((error) => error !== null) ?? new Error('No server of the Cluster is known')
  }

  #ping({ tag }: SessionServer): Promise<void> {
    return withDeadline(this.#store.ping(tag), this.#timeoutMs)
  }

  /** Logs a server of several once when the server fails, and once when the server recovers. */
  #logChanges(servers: SessionServer[], errors: unknown[]): void {
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
