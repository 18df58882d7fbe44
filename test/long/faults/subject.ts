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

/** Of the logins; its place in a record can be found. */
export const USER_AGENT = 'a user agent of the fault suite'

/** An app with sessions, to be asked while something is wrong. */
export interface Subject {
  name: string
  client: ClientKind
  isCached: boolean
  app: FastifyInstance
  /** How often a guarded handler has run since. */
  handlerRuns(): number
  /** Of the session that each operation is about, but for the login. */
  tokens: Record<Exclude<Operation, 'login'>, string>
  /** @param mark what an update writes down */
  visit(operation: Operation, mark?: number): Promise<Visit>
}

/** A request and its answer. */
export interface Visit {
  operation: Operation
  answer: LightMyRequestResponse
  /** By `performance.now()`. */
  sentAt: number
  tookMs: number
  /** How much of it other processes had our place. */
  starvedMs: number
  mark: number
}

interface SubjectOptions {
  fault: Fault
  stage: Stage
  client: ClientKind
  isCached: boolean
}

/** Resolves when its sessions are there, and in the cache if it has one. */
export async function createSubject(t: Watched, options: SubjectOptions): Promise<Subject> {
  const { fault, client, isCached } = options
  const name = `${client}-${isCached ? 'cached' : 'uncached'}`
  const { app, handlerRuns } = await createSessionApp(t, {
    redis: clientOf(t, options),
    cache: isCached,
    ...fault.options,
    // One user logs in again and again.
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

/** Tries again for a while: on a machine with too much to do a store may take longer than it has time. */
async function open(app: FastifyInstance, username: string): Promise<string> {
  const giveUpAt = performance.now() + 10_000
  for (;;) {
    try {
      return await logIn(app, username, { 'user-agent': USER_AGENT })
    } catch (error) {
      if (performance.now() > giveUpAt) throw error
      await delay(20)
    }
  }
}

/** The settings that README asks for to be back in time; all other settings are the defaults of ioredis. */
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

/** An app with `GET /me` and `PUT /me/data` behind the guard, and a count of the runs of the former. */
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
