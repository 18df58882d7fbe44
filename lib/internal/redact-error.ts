import { restoreStackTraces, stopStackTraces } from './stack-trace.js'

/** Codes for errors of ioredis without a code, by name or message. */
const IOREDIS_CODES: Readonly<Record<string, string>> = {
  'Command timed out': 'ETIMEDOUT',
  'Connection is closed.': 'CONNECTION_CLOSED',
  MaxRetriesPerRequestError: 'CONNECTION_CLOSED',
  "Stream isn't writeable and enableOfflineQueue options is false": 'NOT_CONNECTED'
}

/** First words of Redis error replies. Only known words are logged: an unknown reply may begin with a secret. */
const REDIS_CODES = [
  ...'ERR OOM READONLY NOREPLICAS MISCONF LOADING BUSY NOSCRIPT'.split(' '),
  ...'NOAUTH WRONGPASS NOPERM EXECABORT MASTERDOWN CLUSTERDOWN MOVED ASK'.split(' '),
  ...'TRYAGAIN CROSSSLOT WRONGTYPE NOPROTO UNBLOCKED DENIED FAILOVER REDIRECT'.split(' ')
]

/** Whether the word is the first word of a known error reply of Redis, such as `OOM`. */
export function isRedisCode(word: string): boolean {
  return REDIS_CODES.includes(word)
}

const REDIS_REPLY = /^[A-Z][A-Z_]{1,23}(?: |$)/

/** Redis error replies without a variable part. */
const FIXED_REPLIES = [
  'ERR DB index is out of range',
  'ERR invalid DB index',
  'ERR SELECT is not allowed in cluster mode',
  'ERR invalid password',
  'NOAUTH Authentication required.',
  'WRONGPASS invalid username-password pair or user is disabled.'
]

/** A cause that is safe to log in full: the message names options, operations and statuses, never a value. */
export class PlainCause extends Error {
  readonly code: string
  /** The HTTP status of a dependency, for the log. */
  readonly status: number | undefined

  /** @param code an upper-case word for programs. Default: `UNKNOWN` */
  constructor(message: string, code = 'UNKNOWN', status?: number) {
    const limit = stopStackTraces()
    super(message)
    restoreStackTraces(limit)
    this.status = status
    this.name = 'PlainCause'
    this.code = code
    this.stack = `${this.name}: ${message}`
  }
}

/**
 * A copy of an error that is safe to log: the name of the class and a code, or the first word of a Redis reply. The
 * message may hold a secret and is dropped.
 */
export function redactError(error: unknown): Error & { code: string } {
  if (error instanceof PlainCause) return error
  const { name, code, message }: NodeJS.ErrnoException = error instanceof Error ? error : new Error()
  const redisCode = isRedisReply(error) ? REDIS_CODES.find((word) => word === message.split(' ', 1)[0]) : undefined
  const ioredisCode = IOREDIS_CODES[name] ?? IOREDIS_CODES[message]
  const safeName = isWord(name) ? name : 'Error'
  const safeCode = [code, redisCode, ioredisCode].find((word) => isWord(word) && word === word.toUpperCase())
  const cause = Object.assign(new Error(safeCode ?? safeName), { name: safeName, code: safeCode ?? 'UNKNOWN' })
  cause.stack = `${safeName}: ${cause.message}`
  return cause
}

/**
 * Whether an error is an error reply of Redis, such as `OOM command not allowed …`. Recognized by the message, because
 * bundlers rename the classes of ioredis. Errors of Node.js and ioredis have a code, or a message of another form.
 */
export function isRedisReply(error: unknown): error is Error {
  if (!(error instanceof Error) || ('code' in error && typeof error.code === 'string')) return false
  return REDIS_REPLY.test(error.message)
}

/** The text of a Redis error reply if free of secrets, to help an operator whose app does not start; else undefined. */
export function redisReplyOf(error: unknown): string | undefined {
  if (!isRedisReply(error)) return undefined
  const [, command] = /^NOPERM .*'([a-z|]{1,40})' command/.exec(error.message) ?? []
  return command === undefined
    ? FIXED_REPLIES.find((reply) => reply === error.message)
    : `NOPERM no permission to run the '${command}' command`
}

function isWord(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z]\w{0,63}$/.test(value)
}
