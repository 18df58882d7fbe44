import type { Fault, Operation } from './fault.js'
import type { Subject, Visit } from './subject.js'

/** The default of `storeTimeoutMs`, plus the time of the rest of a reply. */
export const LONGEST_ANSWER_MS = 500 + 200
/** With more starvation a store call may time out, and 503 is right. */
const STARVED_MS = 100
/** Time limit for earlier sessions after Redis is back. */
export const BACK_WITHIN_MS = 2_000
/** The default of `cache.maxStaleMs`. */
export const MAX_STALE_MS = 1_000

const UNAVAILABLE = JSON.stringify({
  statusCode: 503,
  code: 'FST_JWT_SESSION_STORE_UNAVAILABLE',
  error: 'Service Unavailable',
  message: 'The session store is unavailable'
})

/** Descriptions of the rules that a reply breaks. */
export function judge(visit: Visit, allowed: readonly number[], reason: string | null = 'unknown'): string[] {
  const { answer, operation, tookMs, starvedMs } = visit
  const { statusCode, headers, body } = answer
  const broken: string[] = []
  const isLate = statusCode === 503 && starvedMs > STARVED_MS
  if (!allowed.includes(statusCode) && !isLate) broken.push(`is answered ${statusCode}`)
  if (tookMs - starvedMs > LONGEST_ANSWER_MS) broken.push(`takes ${Math.round(tookMs)} ms`)
  const signal = headers['session-ended']
  if (statusCode === 503) {
    if (body !== UNAVAILABLE) broken.push(`is answered 503 with ${body}`)
    if (headers['retry-after'] !== '1') broken.push('is answered 503 without Retry-After')
  }
  if (statusCode === 401) {
    const { code } = JSON.parse(body)
    const expected = reason === null ? 'FST_JWT_SESSION_LOGIN_NEEDED' : 'FST_JWT_SESSION_ENDED'
    if (code !== expected) broken.push(`is answered 401 with ${code}`)
    if (signal !== (reason ?? undefined)) broken.push(`is answered 401 with the reason ${signal}`)
  }
  const mayClear = (statusCode === 401 && reason !== null) || operation === 'logout'
  if ((statusCode === 503 || !mayClear) && (signal ?? headers['clear-site-data']) !== undefined) {
    broken.push(`is answered ${statusCode} with the clear signal`)
  }
  return broken.map((text) => `${operation} ${text}`)
}

/** @param sinceMs time from the start of the fault to the request */
export function allowedDuring(fault: Fault, subject: Subject, operation: Operation, sinceMs: number) {
  const expected = subject.isCached ? (fault.cached?.[operation] ?? fault.during[operation]) : fault.during[operation]
  const mayBeStale = subject.isCached && sinceMs < MAX_STALE_MS
  return mayBeStale ? [...expected, ...staleAnswers(fault, operation)] : expected
}

/** Further statuses with a stale cache. The guard uses the cache; the handlers call the store. */
function staleAnswers(fault: Fault, operation: Operation): number[] {
  if (operation === 'verify') return [200]
  const hasEnded = fault.during.verify.includes(401)
  if (hasEnded && operation === 'list') return [200]
  return hasEnded && operation === 'update' ? [200, 409] : []
}
