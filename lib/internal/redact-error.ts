/** The errors of ioredis that have no code, by their names or messages. */
const IOREDIS_CODES: Readonly<Record<string, string>> = {
  'Command timed out': 'ETIMEDOUT',
  'Connection is closed.': 'CONNECTION_CLOSED',
  MaxRetriesPerRequestError: 'CONNECTION_CLOSED',
  "Stream isn't writeable and enableOfflineQueue options is false": 'NOT_CONNECTED'
}

/** What may be kept of an error that is not ours: the name of its class and a code, or the first word Redis said. */
export function withoutDetails(error: unknown): Error & { code: string } {
  const { name, code, message }: NodeJS.ErrnoException = error instanceof Error ? error : new Error()
  const redisCode = name === 'ReplyError' ? /^[A-Z]\w*/.exec(message)?.[0] : undefined
  const safeName = isWord(name) ? name : 'Error'
  const ioredisCode = IOREDIS_CODES[name] ?? IOREDIS_CODES[message]
  const safeCode = [code, redisCode, ioredisCode].find((word) => isWord(word) && word === word.toUpperCase())
  const cause = Object.assign(new Error(safeCode ?? safeName), { name: safeName, code: safeCode ?? 'UNKNOWN' })
  cause.stack = `${safeName}: ${cause.message}`
  return cause
}

function isWord(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z]\w{0,63}$/.test(value)
}
