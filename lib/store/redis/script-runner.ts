import { UnexpectedReplyError } from '../check-reply.js'
import type { RedisClient } from './client.js'
import { NO_DEADLINE, type ScriptCall } from './script-call.js'
import { SCRIPT, SCRIPT_SHA } from './session-script.js'

/** What runs the script. */
export interface ScriptClient extends Pick<RedisClient, 'evalsha' | 'eval'> {
  /** Another number is another connection, which may lead to another server with another clock. */
  connectionNumber?(): number
}

/** A call of the script: its key, and when it must do nothing any more. */
export interface ScriptRun {
  /** The head of a user, without the client's `keyPrefix`. */
  key: string
  call: ScriptCall
  /** `performance.now()` after which the call must change nothing. Default: no deadline. */
  notAfter?: number
  /** Names the server that runs the call: each has a clock of its own. */
  server: string
}

/** A reply that took longer says little about the difference of two clocks. */
const SLOW_SAMPLE_MS = 10
/** How often the time is asked for before a deadline is handed over. */
const MAX_SAMPLES = 2

/**
 * Runs the script, so that what is abandoned at a deadline does not happen later: a deadline is handed to Redis by the
 * clock of Redis. The difference of the clocks is the smallest one of all replies of a server, (time of the script − time
 * of sending): a reply that took long on its way says less. No two machines need to agree about the time.
 */
export class ScriptRunner {
  readonly #client: ScriptClient
  #connection = 0
  /** By server: milliseconds from `performance.now()` to the clock of Redis. */
  readonly #offsets = new Map<string, number>()

  constructor(client: ScriptClient) {
    this.#client = client
  }

  /** @returns the result, without the time in front */
  async run({ notAfter, ...run }: ScriptRun): Promise<string[]> {
    if (notAfter === undefined) return (await this.#send(run, NO_DEADLINE)).result
    const { result, offset } = await this.#send(run, formatTime(await this.toServerTime(notAfter, run)))
    // Too late for Redis and in time here: the clock of Redis was set, or the server is another one.
    if (result[0] !== 'too_late' || performance.now() > notAfter) return result
    this.#offsets.set(run.server, offset)
    return (await this.#send(run, formatTime(notAfter + offset))).result
  }

  /** A moment by `performance.now()` as epoch milliseconds by the clock of the server. */
  async toServerTime(moment: number, { key, server }: Pick<ScriptRun, 'key' | 'server'>): Promise<number> {
    this.#forgetClocksOfOthers()
    let offset = this.#offsets.get(server) ?? Number.POSITIVE_INFINITY
    let isUnknown = !Number.isFinite(offset)
    for (let i = 0; isUnknown && i < MAX_SAMPLES; i++) {
      const sentAt = performance.now()
      const sample = await this.#send({ key, call: ['ping'], server }, NO_DEADLINE)
      offset = Math.min(offset, sample.offset)
      // A call that had to wait for a connection: another call says more, and the best of them counts.
      isUnknown = performance.now() - sentAt > SLOW_SAMPLE_MS
    }
    return moment + offset
  }

  async #send({ key, call: [operation, ...args], server }: ScriptRun, notAfter: string) {
    const sentAt = performance.now()
    const [time, ...result] = checkReply(await this.#evaluate(key, operation, notAfter, ...args))
    this.#forgetClocksOfOthers()
    const offset = Number(time) - sentAt
    if (offset < (this.#offsets.get(server) ?? Number.POSITIVE_INFINITY)) this.#offsets.set(server, offset)
    return { result, offset }
  }

  /** Of the servers of another connection than that of now. */
  #forgetClocksOfOthers(): void {
    const connection = this.#client.connectionNumber?.() ?? 0
    if (connection !== this.#connection) this.#offsets.clear()
    this.#connection = connection
  }

  async #evaluate(...keyAndArguments: string[]): Promise<unknown> {
    try {
      return await this.#client.evalsha(SCRIPT_SHA, 1, ...keyAndArguments)
    } catch (error) {
      // A server that has not seen the script yet, or no longer knows it.
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT '))) throw error
      return this.#client.eval(SCRIPT, 1, ...keyAndArguments)
    }
  }
}

function formatTime(time: number): string {
  return Number.isFinite(time) ? time.toFixed(3) : NO_DEADLINE
}

/**
 * Every element as a string: integers of the script come as numbers, or as strings with `stringNumbers`. A reply that is not
 * of the script comes on a connection that is inside a MULTI of other code (`QUEUED`), for instance.
 */
function checkReply(reply: unknown): string[] {
  const texts: unknown[] = Array.isArray(reply)
    ? reply.map((item) => (typeof item === 'number' ? `${item}` : item))
    : []
  if (!texts.every((item) => typeof item === 'string') || !TIME.test(texts[0] ?? '')) {
    throw new UnexpectedReplyError('A reply that is not of the script')
  }
  return texts
}

const TIME = /^\d+\.\d{3}$/
