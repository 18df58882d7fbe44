import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStore, type Session, type SessionStore } from '../../lib/index.js'
import { createApp, IS_CACHED, withToken } from '../fixtures/app.js'
import { connectRedis, startRedis } from '../fixtures/redis/start-redis.js'
import { freezeClock, NOW } from '../fixtures/tokens.js'

/** `test/long/expiry.test.ts` checks ten times more sessions. */
const COUNT = Number(process.env.EXPIRING_SESSIONS ?? 1_000)
const AT_ONCE = 250
const TTL_MS = 2_000
/** Tolerance for an early end: clocks and timers are not exact. */
const TOLERANCE_MS = 50

interface Opened {
  number: number
  token: string
  session: Session
  /** The last result. */
  isLive?: boolean
}

/**
 * Counts the results of a check. Each result is compared with the times before and after the check, between which the
 * store reads the clock: a slow machine only weakens the test.
 */
function createJudge(check: (opened: Opened) => Promise<boolean>) {
  const counts = { accepted: 0, refused: 0, tooLate: 0, tooEarly: 0 }
  async function judge(opened: Opened): Promise<void> {
    const startedAt = Date.now()
    opened.isLive = await check(opened)
    const { expiresAt } = opened.session
    counts[opened.isLive ? 'accepted' : 'refused']++
    if (opened.isLive && startedAt >= expiresAt) counts.tooLate++
    if (!opened.isLive && Date.now() < expiresAt - TOLERANCE_MS) counts.tooEarly++
  }
  return { counts, judge }
}

async function inBatches(items: readonly Opened[], judge: (opened: Opened) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += AT_ONCE) {
    await Promise.all(items.slice(from, from + AT_ONCE).map(judge))
    await turn()
  }
}

async function assertExpireInTime(t: Test, app: FastifyInstance): Promise<void> {
  const found = createJudge(async ({ session: { id } }) => (await app.sessions.find(id)) !== null)
  const verified = createJudge(async ({ token }) => {
    const { statusCode } = await app.inject(withToken(token))
    if (statusCode !== 200 && statusCode !== 401) t.fail(`answered ${statusCode}`)
    return statusCode === 200
  })
  const all: Opened[] = []
  /** Checks each session with find(), and every twentieth session with a request, which is slow. */
  async function judgeAll(matches: (opened: Opened) => unknown): Promise<void> {
    const matching = all.filter(matches)
    await inBatches(matching, found.judge)
    await inBatches(
      matching.filter(({ number }) => number % 20 === 0),
      verified.judge
    )
  }
  const isNearItsEnd = ({ isLive, session }: Opened) => isLive && session.expiresAt - Date.now() < 120

  // On a slow machine the first sessions end during this loop.
  while (all.length < COUNT) {
    const numbers = Array.from({ length: AT_ONCE }, (_, index) => all.length + index)
    const open = async (number: number) => ({ number, ...(await app.sessions.create({ id: `user ${number}` })) })
    all.push(...(await Promise.all(numbers.map(open))))
    await judgeAll((candidate) => candidate.isLive === undefined || isNearItsEnd(candidate))
  }
  while (all.some(({ isLive }) => isLive)) {
    await judgeAll(isNearItsEnd)
    await delay(10)
  }
  await judgeAll(() => true)

  for (const [way, { counts }] of Object.entries({ found, verified })) {
    t.comment(way, counts)
    t.match(counts, { tooLate: 0, tooEarly: 0 })
    t.ok(counts.accepted >= COUNT / 40 && counts.refused >= COUNT / 20, 'the sessions had been live')
  }
  t.ok(all.every(({ isLive }) => isLive === false))
}

async function inMemory(t: Test): Promise<void> {
  const app = await createApp(t, { store: createMemoryStore(), session: { ttlSeconds: TTL_MS / 1_000 } })
  await assertExpireInTime(t, app)
}

// The memory store has no cache.
if (!IS_CACHED) t.test(`${COUNT} sessions in memory end on time`, inMemory)

t.test(`${COUNT} sessions in Redis end on time`, async (t) => {
  const redis = (await startRedis(t)).client({ enableAutoPipelining: true })
  const app = await createApp(t, { redis, session: { ttlSeconds: TTL_MS / 1_000 }, storeTimeoutMs: 30_000 })
  await assertExpireInTime(t, app)
  const ttls = await Promise.all((await redis.keys('*')).map((key) => redis.pttl(key)))
  // -2: the key has expired after KEYS.
  t.ok(ttls.every((ttl) => ttl === -2 || (ttl >= 0 && ttl <= TTL_MS + 1_000)))
})

for (const hours of [1, -1]) {
  t.test(`sessions end on time although the clock of Redis is ${-hours} h off`, async (t) => {
    const redis = await connectRedis(t)
    const { now } = Date
    // Not t.intercept(), which records the stack of each call.
    Date.now = () => now() + hours * 3_600_000
    t.teardown(() => {
      Date.now = now
    })
    const app = await createApp(t, { redis, session: { ttlSeconds: 60, idleTimeoutSeconds: 1, maxPerUser: 2 } })
    const reasonOf = async (token = '') => (await app.inject(withToken(token))).json().reason
    const opened = [await app.sessions.create({ id: 'ada' }), await app.sessions.create({ id: 'ada' })]
    const { token, session } = await app.sessions.create({ id: 'ada' })
    t.equal(await reasonOf(opened[0]?.token), 'replaced')
    t.equal((await app.sessions.list('ada')).length, 2)
    await app.sessions.revokeAll('ada', { exceptId: session.id })
    t.equal(await reasonOf(opened[1]?.token), 'revoked')

    const answers: { startedAt: number; answeredAt: number; lastSeenAt: number | undefined }[] = []
    let isLive = true
    while (isLive) {
      const startedAt = Date.now()
      const found = await app.sessions.find(session.id)
      answers.push({ startedAt, answeredAt: Date.now(), lastSeenAt: found?.lastSeenAt })
      if (found && startedAt < session.createdAt + 500) await reasonOf(token)
      isLive = found !== null
      await delay(10)
    }
    const lastSeenAt = answers.at(-2)?.lastSeenAt ?? Number.NaN
    t.ok(answers.every(({ startedAt, lastSeenAt }) => lastSeenAt === undefined || startedAt < lastSeenAt + 1_000))
    t.ok((answers.at(-1)?.answeredAt ?? 0) >= lastSeenAt + 1_000)
    t.equal(await reasonOf(token), 'expired')
  })
}

/** A memory store, and the records that activity has written. */
function createWatchedStore(t: Test) {
  const memory = createMemoryStore()
  t.teardown(() => memory.close())
  const written: string[] = []
  const replace: SessionStore['replace'] = async (id, record, next) => {
    written.push(next)
    return memory.replace(id, record, next)
  }
  return { store: { ...memory, replace }, written }
}

t.test('a clock that was set back, or is behind on an instance, does not set activity back', async (t) => {
  const { store, written } = createWatchedStore(t)
  const clock = freezeClock(t)
  const app = await createApp(t, { store })
  const { token, session } = await app.sessions.create({ id: 'ada' })
  const visitAt = async (second: number) => {
    clock.now = NOW + second
    t.equal(await visit(app, token), 200, `${second} s after the login`)
    return (await app.sessions.find(session.id))?.lastSeenAt
  }
  for (const second of [1_500, 3_000, 4_500]) t.equal(await visitAt(second), (NOW + second) * 1_000)
  t.equal(written.length, 3)
  t.equal(await visitAt(4_400), (NOW + 4_500) * 1_000)
  t.equal(written.length, 3, 'a little behind: the record is recent')
  t.equal(await visitAt(1_500), (NOW + 4_500) * 1_000)
  t.equal(written.length, 4, 'far behind: a write tells the store that the session is in use')
  t.equal(written[3], written[2], 'the record is the same')
  t.equal(await visitAt(1_501), (NOW + 4_500) * 1_000)
  t.equal(written.length, 4, 'at most one write in a tenth of the idle timeout')
})

t.test('an instance whose clock is behind ends no session for other instances', async (t) => {
  const redis = await connectRedis(t)
  const clock = freezeClock(t)
  const app = await createApp(t, { redis })
  const { token } = await app.sessions.create({ id: 'ada' })
  for (const second of [1_500, 3_000, 4_500, 900, 4_600]) {
    clock.now = NOW + second
    t.equal((await app.inject(withToken(token))).statusCode, 200, `${second} s after the login`)
    t.ok(await app.sessions.isReady())
  }
})

/** The status, or the reason of a 401. */
async function visit(app: FastifyInstance, token: string): Promise<unknown> {
  const answer = await app.inject(withToken(token))
  // Wait for the write of activity: the test clock moves faster than the event loop.
  await turn()
  return answer.statusCode === 401 ? answer.json().reason : answer.statusCode
}

// Activity is written once in a tenth of the longer timeout, so a release may shorten the timeout at most tenfold.
const DEPLOYS: [before: number | false, after: number | false][] = [
  [1_800, 600],
  [5_400, 600],
  [600, 1_800],
  [600, 21_600],
  [600, false]
]

for (const [before, after] of DEPLOYS) {
  t.test(`a session in use outlives a release that changes the timeout from ${before} to ${after}`, async (t) => {
    const store = createMemoryStore()
    const clock = freezeClock(t)
    const [old, young] = [before, after].map((idleTimeoutSeconds) =>
      createApp(t, { store, session: { ttlSeconds: 43_200, idleTimeoutSeconds } })
    ) as [Promise<FastifyInstance>, Promise<FastifyInstance>]
    const { token, session } = await (await old).sessions.create({ id: 'ada' })
    const refused: string[] = []
    const useOn = async (release: 'old' | 'young', app: FastifyInstance, second: number) => {
      clock.now = NOW + second
      const answer = await visit(app, token)
      if (answer !== 200) refused.push(`${release} at ${second} s: ${answer}`)
    }
    for (let second = 0; second < 1_000; second += 100) await useOn('old', await old, second)
    for (let second = 1_000; second < 2_000; second += 200) {
      await useOn('young', await young, second)
      await useOn('old', await old, second + 100)
    }
    for (let second = 2_000; second < 10_000; second += 100) await useOn('young', await young, second)
    t.equal(refused[0], undefined)
    clock.now += after || 21_600
    t.equal(
      (await (await young).sessions.find(session.id)) !== null,
      after === false,
      'the session ends by the new timeout'
    )
  })
}

t.test('a new idle timeout applies to all sessions at once', async (t) => {
  const store = createMemoryStore()
  const clock = freezeClock(t)
  const [short, long] = [
    await createApp(t, { store, session: { idleTimeoutSeconds: 600 } }),
    await createApp(t, { store, session: { idleTimeoutSeconds: 1_800 } })
  ]
  const opened = [await short.sessions.create({ id: 'ada' }), await long.sessions.create({ id: 'ada' })]
  clock.now = NOW + 600
  for (const { token, session } of opened) {
    t.equal(await visit(short, token), 'expired')
    t.equal((await long.sessions.find(session.id))?.id, session.id)
  }
})
