import { EventEmitter, once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createRedisStore, type JwtSessionOptions, type Session, type SessionStore } from '../../lib/index.js'
import { createApp, logout, onceNotified, withToken } from '../fixtures/app.js'
import { keysWithoutTtl, startRedis } from '../fixtures/redis/start-redis.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

/** `test/long/races.test.ts` sets 1,000. */
const ROUNDS = Number(process.env.RACE_ROUNDS ?? 100)
const AT_ONCE = 50

interface Twins {
  apps: [FastifyInstance, FastifyInstance]
  /** Holds activity and updates of a session back until `release()`. */
  hold(id: string): { reached: Promise<unknown>; release: () => void }
  /** Counts of writes that found the expected record, found another record, or have not settled. */
  writes: { done: number; late: number; pending: number }
}

/** Two instances over one Redis, with a connection each. */
async function createTwins(t: Test, session: JwtSessionOptions['session'] = {}): Promise<Twins> {
  const redis = await startRedis(t)
  const client = redis.client()
  t.teardown(async () => {
    const eternal = await keysWithoutTtl(client)
    if (eternal.length > 0) throw new Error(`Keys without a TTL: ${eternal.join(' ')}`)
  })
  const gates = new Map<string, EventEmitter>()
  const writes = { done: 0, late: 0, pending: 0 }
  const create = () => {
    const store = createRedisStore(redis.client())
    const replace: SessionStore['replace'] = async (id, ...rest) => {
      writes.pending++
      const gate = gates.get(id)
      gate?.emit('reached')
      if (gate !== undefined) await once(gate, 'release')
      const isDone = await store.replace(id, ...rest)
      writes.pending--
      writes[isDone ? 'done' : 'late']++
      return isDone
    }
    return createApp(t, { store: { ...store, replace }, storeTimeoutMs: 10_000, upstream, session })
  }
  const apps: Twins['apps'] = [await create(), await create()]
  for (const app of apps) await until(() => app.sessions.isReady())
  return {
    apps,
    writes,
    hold(id) {
      const gate = new EventEmitter()
      gates.set(id, gate)
      return {
        reached: once(gate, 'reached'),
        release() {
          gates.delete(id)
          gate.emit('release')
        }
      }
    }
  }
}

async function inRounds(round: (n: number) => Promise<unknown>): Promise<void> {
  for (let n = 0; n < ROUNDS; n += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => round(n + index)))
  }
}

/** Starts all works at once, with another first work in each round, and waits for all works. */
function atOnce(n: number, ...works: (() => Promise<unknown>)[]): Promise<unknown[]> {
  const first = n % works.length
  return Promise.all([...works.slice(first), ...works.slice(0, first)].map((work) => work()))
}

interface Opened {
  token: string
  session: Session
}

/** Opens sessions and moves the clock, so that the next request of each session writes activity. */
async function openThenLetTimePass(t: Test, { apps: [app] }: Twins): Promise<Opened[]> {
  const opened: Opened[] = []
  await inRounds(async (n) => {
    opened[n] = await app.sessions.create({ id: `user ${n}` })
  })
  const { now } = Date
  // Not t.intercept(), which records the stack of each call.
  Date.now = () => now() + 10_000
  t.teardown(() => {
    Date.now = now
  })
  return opened
}

const IDLE = { idleTimeoutSeconds: 60 }

t.test('activity and logout: every request after the logout is answered 401', async (t) => {
  const twins = await createTwins(t, IDLE)
  const opened = await openThenLetTimePass(t, twins)
  let alive = 0
  await inRounds(async (n) => {
    const { token, session } = opened[n] as Opened
    const [one, two] = n % 2 === 0 ? twins.apps : twins.apps.toReversed()
    const uses = twins.apps.map((app) => () => app.inject(withToken(token)))
    const leave = async () => {
      const { statusCode } = await (one as FastifyInstance).inject(logout(token))
      if (statusCode !== 204) t.fail(`A logout was answered ${statusCode}`)
      if ((await (one as FastifyInstance).inject(withToken(token))).statusCode !== 401) alive++
      for (const use of uses) {
        const answer = await onceNotified(use)
        if (answer.statusCode !== 401 || answer.json().reason !== 'logged_out') alive++
      }
    }
    if (n % 4 === 0) {
      // The worst order: the write of activity reaches the store after the logout.
      const { release } = twins.hold(session.id)
      for (const use of uses) if ((await use()).statusCode !== 200) t.fail('The session was live')
      await leave()
      release()
    } else {
      if (n % 4 === 1) await (two as FastifyInstance).inject(withToken(token))
      await atOnce(n, ...uses, leave)
    }
  })
  await until(() => twins.writes.pending === 0)
  await inRounds(async (n) => {
    if ((await twins.apps[0].sessions.find(opened[n]?.session.id as string)) !== null) alive++
  })
  t.equal(alive, 0)
  t.ok(twins.writes.done > 0, 'some activity was written')
  t.ok(twins.writes.late >= ROUNDS / 4, 'some activity came too late')
})

t.test('activity and update: activity never undoes an update', async (t) => {
  const twins = await createTwins(t, IDLE)
  const opened = await openThenLetTimePass(t, twins)
  const [one, two] = twins.apps
  let lost = 0
  await inRounds(async (n) => {
    const { token, session } = opened[n] as Opened
    await atOnce(
      n,
      () => two.inject(withToken(token)),
      () => one.sessions.update(session.id, { n }),
      () => one.inject(withToken(token))
    )
    if ((await two.sessions.find(session.id))?.data.n !== n) lost++
  })
  await until(() => twins.writes.pending === 0)
  await inRounds(async (n) => {
    if ((await one.sessions.find(opened[n]?.session.id as string))?.data.n !== n) lost++
  })
  t.equal(lost, 0)
  t.ok(twins.writes.done > ROUNDS, 'activity was written')
})

for (const session of [{}, { maxPerUser: 3 }]) {
  t.test(`login and revokeAll(): no older session survives (${JSON.stringify(session)})`, async (t) => {
    const { apps } = await createTwins(t, session)
    const [one, two] = apps
    let [survivors, unlisted] = [0, 0]
    await inRounds(async (n) => {
      const id = `user ${n}`
      const open = async (app: FastifyInstance) => (await app.sessions.create({ id })).session
      const older = [await open(one), await open(two)]
      const newer: Session[] = []
      // A login that started before revokeAll() is rejected.
      const login = (app: FastifyInstance) => async () => {
        const session = await open(app).catch((error) => error.code)
        if (session !== 'FST_JWT_SESSION_CREDENTIALS_REJECTED') newer.push(session)
      }
      await atOnce(n, login(one), () => two.sessions.revokeAll(id), login(two))

      const isLive = async (session: Session) => (await two.sessions.find(session.id)) !== null
      for (const session of older) if (await isLive(session)) survivors++
      const listed = new Set((await one.sessions.list(id)).map(({ id }) => id))
      for (const session of newer) if ((await isLive(session)) !== listed.has(session.id)) unlisted++
      await one.sessions.revokeAll(id)
      for (const session of newer) if (await isLive(session)) survivors++
    })
    t.equal(survivors, 0)
    t.equal(unlisted, 0, 'every live session is in the list')
  })
}

t.test('update and revocation: an update never reopens a session', async (t) => {
  const { apps, hold, writes } = await createTwins(t)
  const [one, two] = apps
  const ids: string[] = []
  let alive = 0
  const countAlive = async (n: number) => {
    for (const app of apps) {
      if ((await app.sessions.find(ids[n] as string)) !== null) alive++
      if ((await app.sessions.update(ids[n] as string, { again: n })) !== null) alive++
    }
  }
  await inRounds(async (n) => {
    const { session } = await one.sessions.create({ id: `user ${n}` })
    ids[n] = session.id
    const end = () => (n % 2 === 0 ? one : two).sessions.revoke(session.id)
    const revoke = async () => {
      await end()
      await countAlive(n)
    }
    const updates = [one, two, one].map((app, field) => () => app.sessions.update(session.id, { [field]: n }))
    if (n % 4 === 0) {
      const { reached, release } = hold(session.id)
      const updated = atOnce(n, ...updates)
      await reached
      await end()
      // These updates wait for the held update.
      const counted = countAlive(n)
      release()
      await counted
      if ((await updated).some((session) => session !== null)) alive++
    } else {
      if (n % 4 === 1) await updates[0]?.()
      await atOnce(n, ...updates, revoke)
    }
  })
  await inRounds(countAlive)
  t.equal(alive, 0)
  t.ok(writes.done > 0, 'some updates came in time')
  t.ok(writes.late >= ROUNDS / 4, 'some updates came too late')
})

t.test('two simultaneous logouts and a later logout are all answered 204', async (t) => {
  const { apps } = await createTwins(t)
  const answers: string[] = []
  await inRounds(async (n) => {
    const { token } = await apps[0].sessions.create({ id: `user ${n}` })
    const leave = (app: FastifyInstance) => async () => {
      const { statusCode, headers } = await app.inject(logout(token))
      answers.push(`${statusCode} ${headers['session-ended']}`)
      answers.push(`${(await app.inject(withToken(token))).json().reason}`)
    }
    await atOnce(n, ...apps.map(leave))
    await leave(apps[1])()
  })
  t.equal(answers.length, 6 * ROUNDS)
  t.strictSame([...new Set(answers)].sort(), ['204 logged_out', 'logged_out'])
})
