import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import type { JwtSessionOptions, SessionStore } from '../../lib/index.js'
import { createApp, logIn, logout, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { STORES } from '../fixtures/stores.js'
import { readPayload, upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

const LOGIN = postJson('/user/login', CREDENTIALS)
const LIMIT_REACHED =
  '{"statusCode":409,"code":"FST_JWT_SESSION_LIMIT_REACHED","error":"Conflict","message":"The user has too many sessions"}'

type Limits = Omit<NonNullable<JwtSessionOptions['session']>, 'onMaxPerUser'>

function createEvicting(t: Test, store: SessionStore, limits: Limits): Promise<FastifyInstance> {
  return createApp(t, { store, upstream, session: { ...limits, onMaxPerUser: 'evict-oldest' } })
}

function createRejecting(t: Test, store: SessionStore, limits: Limits): Promise<FastifyInstance> {
  return createApp(t, { store, upstream, session: { ...limits, onMaxPerUser: 'reject' } })
}

/** `live`, or the reason of the end. */
async function fateOf(app: FastifyInstance, token: string): Promise<string> {
  const answer = await app.inject(withToken(token))
  return answer.statusCode === 200 ? 'live' : answer.json().reason
}

function fatesOf(app: FastifyInstance, tokens: string[]): Promise<string[]> {
  return Promise.all(tokens.map((token) => fateOf(app, token)))
}

async function logInTimes(app: FastifyInstance, userId: string, count: number): Promise<string[]> {
  const tokens: string[] = []
  for (let n = 0; n < count; n++) tokens.push(await logIn(app, userId))
  return tokens
}

function assertLimitReached(t: Test, answer: LightMyRequestResponse): void {
  assertRefused(t, answer, { statusCode: 409, code: 'FST_JWT_SESSION_LIMIT_REACHED' })
  t.equal(answer.body, LIMIT_REACHED)
}

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`the limit of sessions per user holds in the ${name} store:`, async (t) => {
    const store = await createStore(t)

    t.test('a login beyond the limit ends the session whose last written activity is the oldest', async (t) => {
      const app = await createEvicting(t, store, { maxPerUser: 3, idleTimeoutSeconds: 60 })
      const bystanders = await logInTimes(app, 'bob', 3)
      const tokens = await logInTimes(app, 'ada', 3)
      const { now } = Date
      t.intercept(Date, 'now', { value: () => now() + 10_000 })
      // Activity whose write has failed is written by the next request.
      await until(async () => {
        t.equal(await fateOf(app, tokens[0] as string), 'live')
        // Not by position: logins within the same millisecond have no order.
        const times = (await app.sessions.list('ada')).map(({ lastSeenAt }) => lastSeenAt)
        return Math.max(...times) > Math.min(...times) + 5_000
      })
      tokens.push(...(await logInTimes(app, 'ada', 2)))
      t.strictSame(await fatesOf(app, tokens), ['live', 'replaced', 'replaced', 'live', 'live'])
      t.strictSame(await fatesOf(app, bystanders), ['live', 'live', 'live'], 'each user has a limit')
    })

    t.test('a login beyond the limit can be rejected, and then changes nothing', async (t) => {
      const app = await createRejecting(t, store, { maxPerUser: 2 })
      const tokens = await logInTimes(app, 'cy', 2)
      const before = await app.sessions.list('cy')
      const login = postJson('/user/login', { ...CREDENTIALS, username: 'cy' })
      for (let n = 0; n < 3; n++) assertLimitReached(t, await app.inject(login))
      const refusal = { name: 'SessionLimitReachedError', code: 'FST_JWT_SESSION_LIMIT_REACHED', statusCode: 409 }
      await t.rejects(app.sessions.create({ id: 'cy' }), refusal)
      t.strictSame(await app.sessions.list('cy'), before)
      t.strictSame(await fatesOf(app, tokens), ['live', 'live'])
      t.equal(await fateOf(app, await logIn(app, 'dan')), 'live', 'another user is not affected')
    })

    t.test('the limit may be one session', async (t) => {
      const [evicting, rejecting] = [
        await createEvicting(t, store, { maxPerUser: 1 }),
        await createRejecting(t, store, { maxPerUser: 1 })
      ]
      const tokens = await logInTimes(evicting, 'eve', 4)
      t.strictSame(await fatesOf(evicting, tokens), ['replaced', 'replaced', 'replaced', 'live'])
      const [only] = (await logInTimes(rejecting, 'flo', 1)) as [string]
      await t.rejects(logIn(rejecting, 'flo'), /409/)
      await rejecting.inject(logout(only))
      t.equal(await fateOf(rejecting, await logIn(rejecting, 'flo')), 'live')
    })

    t.test('the limit does not count expired sessions', async (t) => {
      const brief = await createApp(t, { store, upstream, session: { ttlSeconds: 1 } })
      const rejecting = await createRejecting(t, store, { maxPerUser: 2 })
      const evicting = await createEvicting(t, store, { maxPerUser: 3 })
      const user = 'gus'
      const older = await logIn(rejecting, user)
      const startedAt = Date.now()
      const expiring = await logIn(brief, user)
      let next = ''
      await until(async () => {
        next = await logIn(rejecting, user).catch(() => '')
        return next !== ''
      })
      t.ok(Date.now() - startedAt >= 1_000, 'a live session counts')
      const last = await logIn(evicting, user)
      t.strictSame(await fatesOf(evicting, [older, next, last]), ['live', 'live', 'live'])
      // In the last second of the token the session makes room, with the reason `replaced`.
      t.match(await fateOf(brief, expiring), /^(?:expired|replaced)$/)
    })

    t.test('the limit does not count sessions that were logged out or revoked', async (t) => {
      const rejecting = await createRejecting(t, store, { maxPerUser: 2 })
      const evicting = await createEvicting(t, store, { maxPerUser: 3 })
      const [one, two] = (await logInTimes(rejecting, 'hal', 2)) as [string, string]
      await rejecting.inject(logout(one))
      const three = await logIn(rejecting, 'hal')
      await rejecting.sessions.revoke(readPayload(two).jti as string)
      const more = [await logIn(rejecting, 'hal'), await logIn(evicting, 'hal')]
      t.strictSame(await fatesOf(evicting, [one, two, three, ...more]), [
        ...['logged_out', 'revoked'],
        ...['live', 'live', 'live']
      ])
      await rejecting.sessions.revokeAll('hal')
      t.strictSame(await fatesOf(evicting, await logInTimes(rejecting, 'hal', 2)), ['live', 'live'])
    })

    t.test('the limit does not count sessions that the release cannot use', async (t) => {
      const app = await createRejecting(t, store, { maxPerUser: 2 })
      const tokens = await logInTimes(app, 'jan', 2)
      const next = await createApp(t, {
        store,
        upstream: { login: async () => ({ user: { id: 'jan', role: 'none' } }) },
        userSchema: Type.Object({ id: Type.String(), role: Type.Literal('none') }),
        session: { maxPerUser: 2, onMaxPerUser: 'reject' }
      })
      t.strictSame(await next.sessions.list('jan'), [])
      const token = await logIn(next)
      t.equal(await fateOf(next, token), 'live')
      t.equal((await next.sessions.list('jan')).length, 1)
      t.strictSame(await fatesOf(app, tokens), ['replaced', 'replaced'])
      await logIn(next)
      t.equal((await next.inject(LOGIN)).statusCode, 409, 'no live session has made room')
      t.equal(await fateOf(next, token), 'live')
    })

    t.test('after the limit was lowered, the next login ends all extra sessions or is rejected', async (t) => {
      const [five, two] = [
        await createEvicting(t, store, { maxPerUser: 5 }),
        await createEvicting(t, store, { maxPerUser: 2 })
      ]
      const tokens = [...(await logInTimes(five, 'ivy', 5)), ...(await logInTimes(two, 'ivy', 1))]
      t.strictSame(await fatesOf(two, tokens), [...Array(4).fill('replaced'), 'live', 'live'])

      const rejecting = await createRejecting(t, store, { maxPerUser: 2 })
      const others = await logInTimes(five, 'joe', 4)
      for (const token of others.slice(0, 3)) {
        await t.rejects(logIn(rejecting, 'joe'), /409/)
        await rejecting.inject(logout(token))
      }
      await logIn(rejecting, 'joe')
      t.equal((await rejecting.sessions.list('joe')).length, 2)
    })

    t.test('the limit does not count the session of the request’s token', async (t) => {
      for (const create of [createEvicting, createRejecting]) {
        const app = await create(t, store, { maxPerUser: 2 })
        const [one, two] = (await logInTimes(app, create.name, 2)) as [string, string]
        const three = await logIn(app, create.name, { authorization: `Bearer ${two}` })
        t.strictSame(await fatesOf(app, [one, two, three]), ['live', 'logged_in_again', 'live'], create.name)
      }
      const one = await createRejecting(t, store, { maxPerUser: 1 })
      let token = await logIn(one, 'kim')
      for (let n = 0; n < 3; n++) token = await logIn(one, 'kim', { authorization: `Bearer ${token}` })
      t.equal(await fateOf(one, token), 'live')
    })

    t.test('the token of another user does not raise the limit', async (t) => {
      const app = await createRejecting(t, store, { maxPerUser: 1 })
      const [mine, theirs] = [await logIn(app, 'lea'), await logIn(app, 'mia')]
      await t.rejects(logIn(app, 'lea', { authorization: `Bearer ${theirs}` }), /409/)
      t.equal(await fateOf(app, mine), 'live')
    })

    t.test('the limit is 100 by default', async (t) => {
      const app = await createApp(t, { store, upstream })
      const tokens = await logInTimes(app, 'nia', 101)
      t.strictSame(await fatesOf(app, tokens), ['replaced', ...Array(100).fill('live')])
    })
  })
}

for (const onMaxPerUser of ['evict-oldest', 'reject'] as const) {
  t.test(`50 simultaneous logins on three instances leave 5 live sessions: ${onMaxPerUser}`, async (t) => {
    const redis = await startRedis(t)
    const session = { maxPerUser: 5, onMaxPerUser }
    const apps = await Promise.all([1, 2, 3].map(() => createApp(t, { redis: redis.client(), session })))
    await until(async () => (await Promise.all(apps.map((app) => app.sessions.isReady()))).every(Boolean))
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => (apps[n % apps.length] as FastifyInstance).inject(LOGIN))
    )
    const [app] = apps as [FastifyInstance]
    const good = answers.filter(({ statusCode }) => statusCode === 200).map((answer) => answer.json().access_token)
    const fates = await fatesOf(app, good)
    t.equal(fates.filter((fate) => fate === 'live').length, 5)
    t.equal((await app.sessions.list('ada')).length, 5)
    if (onMaxPerUser === 'evict-oldest') {
      t.equal(good.length, 50, 'each login succeeds')
      t.equal(fates.filter((fate) => fate === 'replaced').length, 45)
    } else {
      t.equal(good.length, 5)
      for (const answer of answers) if (answer.statusCode !== 200) t.equal(answer.body, LIMIT_REACHED)
    }
    const client = redis.client()
    for (const key of await client.keys('*')) t.ok((await client.pttl(key)) > 0, 'every key has a TTL')
  })
}
