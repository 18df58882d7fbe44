import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { Cluster, Redis } from 'ioredis'
import { fastifyJwtSession, type JwtSessionOptions, type RedisClient, type RedisOptions } from '../../../lib/index.js'
import { logIn, logout, SECRET, withToken } from '../../fixtures/app.js'
import { closedAtTeardown, disconnectTimeout, type Teardown } from '../../fixtures/redis/start-redis.js'
import { upstream } from '../../fixtures/tokens.js'
import { until } from '../../fixtures/until.js'
import { createWatchedFastify, type Watched } from '../../fixtures/watched-fastify.js'
import type { ClientKind, Fault, Operation, Stage } from './fault.js'
import { watchStarvation } from './starvation.js'

/** The user agent of logins, which can be found in a record. */
export const USER_AGENT = 'a user agent of the fault suite'

/** An app with sessions, for requests during a fault. */
export interface Subject {
  name: string
  client: ClientKind
  isCached: boolean
  app: FastifyInstance
  /** Runs of the guarded handler since the start. */
  handlerRuns(): number
  /** The token of each operation except the login. */
  tokens: Record<Exclude<Operation, 'login'>, string>
  /** @param mark the value that an update writes */
  visit(operation: Operation, mark?: number): Promise<Visit>
}

/** A request with the reply. */
export interface Visit {
  operation: Operation
  answer: LightMyRequestResponse
  /** Time of the request by `performance.now()`. */
  sentAt: number
  tookMs: number
  /** The part of `tookMs` in which the process had no core. */
  starvedMs: number
  mark: number
}

interface SubjectOptions {
  fault: Fault
  stage: Stage
  client: ClientKind
  isCached: boolean
}

/** Resolves when the sessions are stored, and cached by an app with a cache. */
export async function createSubject(t: Watched, options: SubjectOptions): Promise<Subject> {
  const { fault, client, isCached } = options
  const name = `${client}-${isCached ? 'cached' : 'uncached'}`
  const { app, handlerRuns } = await createSessionApp(t, {
    redis: clientOf(t, options),
    cache: isCached,
    ...fault.options,
    // The login operation uses one user.
    session: { maxPerUser: 1_000, ...fault.options?.session }
  })
  await until(() => app.sessions.isReady())
  const tokens = {
    verify: await open(app, `${name}-verify`),
    logout: await open(app, `${name}-logout`),
    list: await open(app, `${name}-list`),
    update: await open(app, `${name}-update`)
  }
  const requests = requestsOf(name, tokens)
  const visit = async (operation: Operation, mark = 0): Promise<Visit> => {
    const starvedMs = watchStarvation()
    const sentAt = performance.now()
    const answer = await app.inject(requests[operation](mark))
    return { operation, answer, sentAt, tookMs: performance.now() - sentAt, starvedMs: starvedMs(), mark }
  }
  await until(async () => (await visit('verify')).answer.statusCode === 200)
  await until(async () => (await visit('list')).answer.statusCode === 200)
  const runsBefore = handlerRuns()
  return { name, client, isCached, app, handlerRuns: () => handlerRuns() - runsBefore, tokens, visit }
}

/** Logs in, with retries: on a busy machine store calls may time out. */
async function open(app: FastifyInstance, username: string): Promise<string> {
  const deadline = performance.now() + 10_000
  for (;;) {
    try {
      return await logIn(app, username, { 'user-agent': USER_AGENT })
    } catch (error) {
      if (performance.now() > deadline) throw error
      await delay(20)
    }
  }
}

/** The settings that README requires for a quick recovery. Other settings are the defaults of ioredis. */
export const SHORT_PAUSES = { retryStrategy: () => 250, maxLoadingRetryTime: 250 }

function clientOf(t: Teardown, { fault, stage, client }: SubjectOptions): RedisClient | RedisOptions {
  const { way = 'direct', password } = fault
  const { redis, proxy } = stage
  const redisOptions = { disconnectTimeout, ...(password !== undefined && { password }) }
  if (way === 'cluster') {
    return closedAtTeardown(t, new Cluster([{ host: '127.0.0.1', port: proxy.port }], { redisOptions }))
  }
  const url = way === 'proxy' ? proxy.url : (redis.url ?? redis.socketPath)
  return client === 'own'
    ? { url, ...redisOptions }
    : closedAtTeardown(t, new Redis(url, { ...redisOptions, ...SHORT_PAUSES }))
}

/** An app with guarded `GET /me` and `PUT /me/data`, and a count of the runs of `GET /me`. */
export async function createSessionApp(t: Watched, options: Partial<JwtSessionOptions>) {
  const app = createWatchedFastify(t)
  let handlerRuns = 0
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream,
    routes: { sessions: {} },
    ...options
  })
  app.get('/me', { preHandler: app.verifySession }, async (request) => {
    handlerRuns++
    return request.session
  })
  app.put('/me/data', { preHandler: app.verifySession }, async (request, reply) => {
    const session = await request.session.update(request.body as Record<string, unknown>)
    return session ?? reply.code(409).send({})
  })
  await app.ready()
  return { app, handlerRuns: () => handlerRuns }
}

function requestsOf(name: string, tokens: Subject['tokens']): Record<Operation, (mark: number) => InjectOptions> {
  return {
    login: () => loginAs(`${name}-login`),
    verify: () => withToken(tokens.verify),
    logout: () => logout(tokens.logout),
    list: () => withToken(tokens.list, { url: '/user/sessions' }),
    update: (mark) => withToken(tokens.update, { method: 'PUT', url: '/me/data', payload: { mark } })
  }
}

export function loginAs(username: string): InjectOptions {
  return { method: 'POST', url: '/user/login', payload: { username, password: 'a password' } }
}
