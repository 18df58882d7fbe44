// The common part of migrate-jwt-redis-session.ts and migrate-express-session.ts.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import fastifyRedis, { type FastifyRedis } from '@fastify/redis'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { CredentialsRejectedError, StoreUnavailableError, type User } from 'fastify-jwt-session'

/** More than an exchange takes. After a crash, or a timeout of Redis, the client may have to wait this long. */
const LOCK_MS = 5_000
const DELETIONS = 600

/** Opens `app.redis`, the Redis of the old sessions, with settings that make commands fail fast. */
export async function openOldSessions(app: FastifyInstance, url: string): Promise<void> {
  await app.register(fastifyRedis, {
    ...{ url, commandTimeout: 500, connectTimeout: 1_000, socketTimeout: 1_000, maxRetriesPerRequest: 0 },
    enableOfflineQueue: false,
    retryStrategy: (attempts) => Math.min(attempts * 50, 250)
  })
}

/** 409: another tab is exchanging the session. The page waits, and tries again. */
class ExchangingError extends Error {
  readonly statusCode = 409
  readonly headers = { 'retry-after': '1' }

  constructor() {
    super('The session is being exchanged')
  }
}

/** A session of the other library. */
export interface OldSession {
  /** Its key in the Redis of `app.redis`. */
  key: string
  /** Finds the user of its JSON; null: none, or a user who is gone. */
  findUser(session: unknown): Promise<User | null>
}

/**
 * Opens a session for the user of an old session, once. The old session is deleted after the answer was sent, not before:
 * after a failed login, a timeout of Redis, a crash or a lost connection the client tries again.
 *
 * @throws {CredentialsRejectedError} 401: no such session or user. The page shows the login
 * @throws {StoreUnavailableError} 503: the page tries again
 * @throws {ExchangingError}
 */
export async function exchangeSession(request: FastifyRequest, reply: FastifyReply, { key, findUser }: OldSession) {
  const { redis, sessions } = request.server
  const lock = `exchange:${key}`
  const isFirst = await orUnavailable(redis.set(lock, '1', 'PX', LOCK_MS, 'NX'))
  if (!isFirst) throw new ExchangingError()
  reply.raw.once('close', () => {
    const isExchanged = reply.raw.writableFinished && reply.statusCode < 400
    void (isExchanged ? deleteSurely(redis, [key, lock]) : redis.del(lock).catch(() => {}))
  })
  // MGET answers null, not an error, for a key of another type.
  const [text] = await orUnavailable(redis.mget(key))
  const user = await findUser(parse(text ?? 'null'))
  if (user === null) throw new CredentialsRejectedError()
  return sessions.login(request, reply, user)
}

function orUnavailable<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((error) => Promise.reject(new StoreUnavailableError(error)))
}

/** While Redis does not respond, the deletion is repeated: an old session that stays can be exchanged once more. */
async function deleteSurely(redis: FastifyRedis, keys: string[]): Promise<void> {
  for (let attempt = 0; attempt < DELETIONS; attempt++) {
    try {
      for (const key of keys) await redis.del(key)
      return
    } catch {
      await setTimeout(500, undefined, { ref: false })
    }
  }
}

/** The value of a JSON text; null for a text that is not JSON. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Whether the text has this HMAC-SHA256, in constant time. The MAC must have the exact spelling of the encoding. */
export function isSigned(
  text: string,
  mac: string,
  { secret, encoding }: { secret: string; encoding: 'base64' | 'base64url' }
) {
  const expected = Buffer.from(createHmac('sha256', secret).update(text).digest(encoding).replaceAll('=', ''))
  const actual = Buffer.from(mac)
  return actual.length === expected.length && timingSafeEqual(actual, expected)
}
