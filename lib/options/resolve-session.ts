import { InvalidOptionError } from '../errors.js'
import type { SessionLimit } from '../store/session-store.js'
import { checkFields, checkInteger, orDefaultEmpty } from './checks.js'
import type { SessionOptions } from './options.js'

/** Lifetimes of sessions, and limits per user and session, with every default. */
export interface ResolvedSession {
  ttlSeconds: number
  /** Null: no idle timeout. */
  idleTimeoutSeconds: number | null
  limit: SessionLimit
  /** Whether `maxPerUser` was left out. */
  isDefaultLimit: boolean
  maxDataBytes: number
}

/** @throws {InvalidOptionError} */
export function resolveSession(input: SessionOptions | undefined): ResolvedSession {
  const options = checkFields('session', orDefaultEmpty(input), [
    'ttlSeconds',
    'idleTimeoutSeconds',
    'maxPerUser',
    'onMaxPerUser',
    'maxDataBytes'
  ])
  const ttlSeconds = checkInteger('session.ttlSeconds', options.ttlSeconds, 43_200)
  return {
    ttlSeconds,
    idleTimeoutSeconds: resolveIdleTimeout(options.idleTimeoutSeconds, ttlSeconds),
    limit: resolveLimit(options),
    isDefaultLimit: options.maxPerUser === undefined,
    maxDataBytes: checkInteger('session.maxDataBytes', options.maxDataBytes, 4_096, { min: 0, max: 65_536 })
  }
}

function resolveIdleTimeout(option: SessionOptions['idleTimeoutSeconds'], ttlSeconds: number): number | null {
  if (option === false) return null
  const idleTimeoutSeconds = checkInteger('session.idleTimeoutSeconds', option, Math.min(1_800, ttlSeconds))
  if (idleTimeoutSeconds > ttlSeconds) {
    throw new InvalidOptionError('session.idleTimeoutSeconds', 'must not exceed `session.ttlSeconds`')
  }
  return idleTimeoutSeconds
}

function resolveLimit({ maxPerUser, onMaxPerUser = 'evict-oldest' }: SessionOptions): SessionLimit {
  if (onMaxPerUser !== 'evict-oldest' && onMaxPerUser !== 'reject') {
    throw new InvalidOptionError('session.onMaxPerUser', "must be 'evict-oldest' or 'reject'")
  }
  const max = checkInteger('session.maxPerUser', maxPerUser, 100, { max: 1_000 })
  return { max, onFull: onMaxPerUser === 'reject' ? 'reject' : 'evict' }
}
