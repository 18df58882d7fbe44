/** The errors of ioredis that have no code, by their names or messages. */
const IOREDIS_CODES: Readonly<Record<string, string>> = {
  'Command timed out': 'ETIMEDOUT',
  'Connection is closed.': 'CONNECTION_CLOSED',
  MaxRetriesPerRequestError: 'CONNECTION_CLOSED',
  "Stream isn't writeable and enableOfflineQueue options is false": 'NOT_CONNECTED'
}

/** The first words of the error replies of Redis. Only these are kept: another error may begin with a word of a secret. */
const REDIS_CODES = [
  ...[
    'ERR',
    'OOM',
    'READONLY',
    'NOREPLICAS',
    'MISCONF',
    'LOADING',
    'BUSY',
    'NOSCRIPT',
    'NOAUTH',
    'WRONGPASS',
    'NOPERM'
  ],
  ...[
    'EXECABORT',
    'MASTERDOWN',
    'CLUSTERDOWN',
    'MOVED',
    'ASK',
    'TRYAGAIN',
    'CROSSSLOT',
    'WRONGTYPE',
    'NOPROTO',
    'UNBLOCKED'
  ],
  ...['DENIED', 'FAILOVER', 'REDIRECT']
]

/**
 * A cause in words of this package, which may be logged as it is. It names options, operations and statuses, and never a value.
 */
export class PlainCause extends Error {
  readonly code: string

  /** @param code an upper-case word for programs */
  constructor(message: string, code = 'UNKNOWN') {
    super(message)
    this.name = 'PlainCause'
    this.code = code
    this.stack = `${this.name}: ${message}`
  }
}

/** What may be kept of an error that is not ours: the name of its class and a code, or the first word Redis said. */
export function withoutDetails(error: unknown): Error & { code: string } {
  if (error instanceof PlainCause) return error
  const { name, code, message }: NodeJS.ErrnoException = error instanceof Error ? error : new Error()
  const redisCode = isRedisReply(error) ? REDIS_CODES.find((word) => word === message.split(' ', 1)[0]) : undefined
  const safeName = isWord(name) ? name : 'Error'
  const ioredisCode = IOREDIS_CODES[name] ?? IOREDIS_CODES[message]
  const safeCode = [code, redisCode, ioredisCode].find((word) => isWord(word) && word === word.toUpperCase())
  const cause = Object.assign(new Error(safeCode ?? safeName), { name: safeName, code: safeCode ?? 'UNKNOWN' })
  cause.stack = `${safeName}: ${cause.message}`
  return cause
}

/**
 * Whether the error is an error reply of Redis, such as `OOM command not allowed …`: told by what Redis wrote, for a bundler
 * renames the class of ioredis. The errors of Node.js and of ioredis have a code or another form.
 */
export function isRedisReply(error: unknown): error is Error {
  if (!(error instanceof Error) || ('code' in error && typeof error.code === 'string')) return false
  return REDIS_REPLY.test(error.message)
}

const REDIS_REPLY = /^[A-Z][A-Z_]{1,23}(?: |$)/

/** Error replies of Redis that are the same for every client. */
const FIXED_REPLIES = [
  'ERR DB index is out of range',
  'ERR invalid DB index',
  'ERR SELECT is not allowed in cluster mode',
  'ERR invalid password',
  'NOAUTH Authentication required.',
  'WRONGPASS invalid username-password pair or user is disabled.'
]

/**
 * What Redis wrote, where that is known to name nothing but a command: for the error of a start, which an operator has to
 * mend. Undefined for another reply or error.
 */
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
