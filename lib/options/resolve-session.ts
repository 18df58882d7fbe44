import { InvalidOptionError } from '../errors.js'
import type { SessionLimit } from '../store/session-store.js'
import { checkCount, checkFields, orEmpty } from './checks.js'
import type { SessionOptions } from './options.js'

/** How long sessions live, and how many a user may have. */
export interface ResolvedSession {
  ttlSeconds: number
  /** Null: no idle timeout. */
  idleTimeoutSeconds: number | null
  limit: SessionLimit | null
}

/** @throws {InvalidOptionError} */
export function resolveSession(input: SessionOptions | undefined): ResolvedSession {
  const options = checkFields('session', orEmpty(input), [
    'ttlSeconds',
    'idleTimeoutSeconds',
    'maxPerUser',
    'onMaxPerUser'
  ])
  const ttlSeconds = checkCount('session.ttlSeconds', options.ttlSeconds, 43_200)
  return {
    ttlSeconds,
    idleTimeoutSeconds: resolveIdleTimeout(options.idleTimeoutSeconds, ttlSeconds),
    limit: resolveLimit(options)
  }
}

function resolveIdleTimeout(option: SessionOptions['idleTimeoutSeconds'], ttlSeconds: number): number | null {
  if (option === false) return null
  const idleTimeoutSeconds = checkCount('session.idleTimeoutSeconds', option, Math.min(1_800, ttlSeconds))
  if (idleTimeoutSeconds > ttlSeconds) {
    throw new InvalidOptionError('session.idleTimeoutSeconds', 'must not be longer than `session.ttlSeconds`')
  }
  return idleTimeoutSeconds
}

function resolveLimit({ maxPerUser, onMaxPerUser }: SessionOptions): SessionLimit | null {
  if (onMaxPerUser !== undefined && onMaxPerUser !== 'evict-oldest' && onMaxPerUser !== 'reject') {
    throw new InvalidOptionError('session.onMaxPerUser', "must be 'evict-oldest' or 'reject'")
  }
  const max = checkCount('session.maxPerUser', maxPerUser, null)
  if (max !== null) return { max, evictionReason: onMaxPerUser === 'reject' ? null : 'replaced' }
  if (onMaxPerUser !== undefined) throw new InvalidOptionError('session.onMaxPerUser', 'needs `session.maxPerUser`')
  return null
}
