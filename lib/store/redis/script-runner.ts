import { UnexpectedReplyError } from '../check-reply.js'
import type { RedisClient } from './client.js'
import { NO_DEADLINE, parseReply, type ScriptCall, type ScriptReply } from './script-call.js'
import { SCRIPT, SCRIPT_SHA } from './session-script.js'

/** A client that can run the script. */
export interface ScriptClient extends Pick<RedisClient, 'evalsha' | 'eval'> {
  /** Changes with each new connection, which may lead to another server with another clock. */
  connectionNumber?(): number
}

/** A call of the script, with its key and its deadline. */
export interface ScriptRun<Call extends ScriptCall = ScriptCall> {
  /** The head of a user, without the client's `keyPrefix`. */
  key: string
  call: Call
  /**
   * By `performance.now()`: the deadline after which the call must change nothing. Required for a call with a
   * {@link LocalTime}. Default: no deadline.
   */
  notAfter?: number | undefined
  /** The name of the server that runs the call. Each server has a clock. */
  server: string
}

/** The result of a call, without the time before it, and a sample of the offset of the server's clock. */
interface TimedReply {
  result: string[]
  offset: number
}

/** A slower reply is a bad sample of the difference between two clocks. */
const SLOW_SAMPLE_MS = 10
/** The number of `ping` calls that sample an unknown clock. */
const MAX_SAMPLES = 2

/**
 * Runs the script with deadlines by the clock of Redis, so that a call that was abandoned here changes nothing later.
 * The offset of a server's clock is the smallest difference (time of the script − time of sending) of all replies of
 * the server: a slow reply makes the difference larger. The clocks of two machines need not agree.
 */
export class ScriptRunner {
  readonly #client: ScriptClient
  #connection = 0
  /** By server: milliseconds to add to `performance.now()` for the clock of Redis. */
  readonly #offsets = new Map<string, number>()

  constructor(client: ScriptClient) {
    this.#client = client
  }

  /** @throws {UnexpectedReplyError} not a reply of this operation */
  async run<Call extends ScriptCall>(run: ScriptRun<Call>): Promise<ScriptReply<Call[0]>> {
    const { call, server, notAfter } = run
    const known = notAfter === undefined ? 0 : (this.#knownOffset(server) ?? (await this.#sampleOffset(run)))
    let reply = await this.#send(run, known)
    // Too late by the clock of Redis, in time by the local clock: the clock of Redis was set, or the server has
    // changed.
    if (notAfter !== undefined && reply.result[0] === 'too_late' && performance.now() <= notAfter) {
      this.#offsets.set(server, reply.offset)
      reply = await this.#send(run, reply.offset)
    }
    return parseReply(call[0], reply.result)
  }

  #knownOffset(server: string): number | undefined {
    this.#forgetFormerClocks()
    return this.#offsets.get(server)
  }

  async #sampleOffset({ key, server }: Pick<ScriptRun, 'key' | 'server'>): Promise<number> {
    let offset = Number.POSITIVE_INFINITY
    let isUnknown = true
    for (let i = 0; isUnknown && i < MAX_SAMPLES; i++) {
      const sentAt = performance.now()
      const sample = await this.#send({ key, call: ['ping'], server }, 0)
      offset = Math.min(offset, sample.offset)
      // The call may have waited for a connection. A second call is a better sample, and the smaller offset counts.
      isUnknown = performance.now() - sentAt > SLOW_SAMPLE_MS
    }
    return offset
  }

  /**
   * Promises in place of an async function, which would allocate a kilobyte for every login.
   *
   * @param offset milliseconds to add to local times for the clock of Redis
   */
  #send({ key, call: [operation, ...args], server, notAfter }: ScriptRun, offset: number): Promise<TimedReply> {
    const deadline = notAfter === undefined ? NO_DEADLINE : formatTime(notAfter + offset)
    const texts = args.map((arg) => (typeof arg === 'string' ? arg : formatTime(arg.localMs + offset)))
    const keyAndArguments = [key, operation, deadline, ...texts]
    const sentAt = performance.now()
    const read = (reply: unknown) => this.#read(reply, sentAt, server)
    return this.#client.evalsha(SCRIPT_SHA, 1, ...keyAndArguments).then(read, (error: unknown) => {
      // The server does not know the script yet, or has lost the script.
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT '))) throw error
      return this.#client.eval(SCRIPT, 1, ...keyAndArguments).then(read)
    })
  }

  #read(reply: unknown, sentAt: number, server: string): TimedReply {
    const texts = checkReply(reply)
    this.#forgetFormerClocks()
    const offset = Number(texts[0]) - sentAt
    if (offset < (this.#offsets.get(server) ?? Number.POSITIVE_INFINITY)) this.#offsets.set(server, offset)
    return { result: texts.slice(1), offset }
  }

  /** Forgets the offsets when the connection has changed. */
  #forgetFormerClocks(): void {
    const connection = this.#client.connectionNumber?.() ?? 0
    if (connection !== this.#connection) this.#offsets.clear()
    this.#connection = connection
  }
}

function formatTime(time: number): string {
  return Number.isFinite(time) ? time.toFixed(3) : NO_DEADLINE
}

/**
 * Every element as a string: ioredis returns integers as numbers, or as strings with `stringNumbers`.
 *
 * @throws {UnexpectedReplyError} not a reply of the script, such as `QUEUED` on a connection inside a MULTI of other
 * code
 */
function checkReply(reply: unknown): string[] {
  const texts: unknown[] = Array.isArray(reply)
    ? reply.map((item) => (typeof item === 'number' ? `${item}` : item))
    : []
  if (!texts.every((item) => typeof item === 'string') || !TIME.test(texts[0] ?? '')) {
    throw new UnexpectedReplyError('The reply is not a reply of the script')
  }
  return texts
}

const TIME = /^\d+\.\d{3}$/
