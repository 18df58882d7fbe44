import type { FastifyInstance } from 'fastify'
import { fastifyJwtSession } from '../../../lib/index.js'
import { SECRET, withToken } from '../../fixtures/app.js'
import { connectRedis } from '../../fixtures/redis/start-redis.js'
import { createWatchedFastify, type Watched } from '../../fixtures/watched-fastify.js'
import { type IssuedToken, issueTokens } from './issued-tokens.js'

/** The store of the app, and whether the app has verified the issued tokens before. */
export type Mode = 'never seen' | 'just verified' | 'cached over Redis'
export const MODES: readonly Mode[] = ['never seen', 'just verified', 'cached over Redis']

/** An app with sessions, which a forged token could open. */
export interface FuzzedApp {
  app: FastifyInstance
  issued: readonly IssuedToken[]
  /** Runs of the guarded handler. */
  readonly handlerRuns: number
  /** Sends each issued token. Resolves to descriptions of wrong replies. */
  presentIssued(): Promise<string[]>
}

export async function createFuzzedApp(t: Watched, mode: Mode): Promise<FuzzedApp> {
  const isCached = mode === 'cached over Redis'
  const app = createWatchedFastify(t)
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream: { login: async () => ({ user: { id: 'ada' } }) },
    ...(isCached && { redis: await connectRedis(t), cache: true })
  })
  let handlerRuns = 0
  app.get('/me', { preHandler: app.verifySession }, async (request) => {
    handlerRuns++
    return request.session.user.id
  })
  await app.ready()
  const issued = await issueTokens(app)

  return {
    app,
    issued,
    get handlerRuns() {
      return handlerRuns
    },
    async presentIssued() {
      const wrong: string[] = []
      for (const { token, session, isLive } of issued) {
        const { statusCode, body } = await app.inject(withToken(token))
        const isRight = isLive ? statusCode === 200 && body === session.user.id : statusCode === 401
        if (!isRight) wrong.push(`a token that is ${isLive ? 'live' : 'revoked'} was answered ${statusCode} ${body}`)
      }
      return wrong
    }
  }
}
