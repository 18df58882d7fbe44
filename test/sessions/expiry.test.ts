import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStore, type Session, type SessionStore } from '../../lib/index.js'
import { createApp, IS_CACHED, withToken } from '../fixtures/app.js'
import { connectRedis, startRedis } from '../fixtures/redis/start-redis.js'
import { freezeClock, NOW } from '../fixtures/tokens.js'

/** `test/long/expiry.test.ts` has ten times as many. */
const COUNT = Number(process.env.EXPIRING_SESSIONS ?? 1_000)
const AT_ONCE = 250
const TTL_MS = 2_000
/** This early a session may be refused: clocks and timers are no more exact. */
const TOLERANCE_MS = 50

interface Opened {
  number: number
  token: string
  session: Session
  /** What was answered last. */
  isLive?: boolean
}

/**
 * How the answers to one way of asking were. Each is judged by when it was asked and when it was answered, between which
 * the store has looked at its clock: so a slow machine makes this test say less, and nothing wrong.
 */
function createJudge(ask: (opened: Opened) => Promise<boolean>) {
  const counts = { accepted: 0, refused: 0, tooLate: 0, tooEarly: 0 }
  async function judge(opened: Opened): Promise<void> {
    const askedAt = Date.now()
    opened.isLive = await ask(opened)
    const { expiresAt } = opened.session
    counts[opened.isLive ? 'accepted' : 'refused']++
    if (opened.isLive && askedAt >= expiresAt) counts.tooLate++
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
  /** Both ways; the one that is slow for one in twenty. */
  async function judgeAll(matches: (opened: Opened) => unknown): Promise<void> {
    const matching = all.filter(matches)
    await inBatches(matching, found.judge)
    await inBatches(
      matching.filter(({ number }) => number % 20 === 0),
      verified.judge
    )
  }
  const isNearItsEnd = ({ isLive, session }: Opened) => isLive && session.expiresAt - Date.now() < 120

  // Meanwhile the first ones end, if the machine is slow.
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
    t.ok(counts.accepted >= COUNT / 40 && counts.refused >= COUNT / 20, 'they had been live')
  }
  t.ok(all.every(({ isLive }) => isLive === false))
}

async function inMemory(t: Test): Promise<void> {
  const app = await createApp(t, { store: createMemoryStore(), session: { ttlSeconds: TTL_MS / 1_000 } })
  await assertExpireInTime(t, app)
}

// What is in memory has no cache.
if (!IS_CACHED) t.test(`${COUNT} sessions in memory end in time`, inMemory)

t.test(`${COUNT} sessions in Redis end in time`, async (t) => {
  const redis = (await startRedis(t)).client({ enableAutoPipelining: true })
  const app = await createApp(t, { redis, session: { ttlSeconds: TTL_MS / 1_000 }, storeTimeoutMs: 30_000 })
  await assertExpireInTime(t, app)
  const ttls = await Promise.all((await redis.keys('*')).map((key) => redis.pttl(key)))
  // -2 is a key that has gone since it was listed.
  t.ok(ttls.every((ttl) => ttl === -2 || (ttl > 0 && ttl <= TTL_MS + 1_000)))
})

for (const hours of [1, -1]) {
  t.test(`a Redis whose clock is ${-hours} h off makes no difference`, async (t) => {
    const redis = await connectRedis(t)
    const { now } = Date
    // Not t.intercept(): it keeps the stack of each call.
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

    const answers: { askedAt: number; answeredAt: number; lastSeenAt: number | undefined }[] = []
    let isLive = true
    while (isLive) {
      const askedAt = Date.now()
      const found = await app.sessions.find(session.id)
      answers.push({ askedAt, answeredAt: Date.now(), lastSeenAt: found?.lastSeenAt })
      if (found && askedAt < session.createdAt + 500) await reasonOf(token)
      isLive = found !== null
      await delay(10)
    }
    const lastSeenAt = answers.at(-2)?.lastSeenAt ?? Number.NaN
    t.ok(answers.every(({ askedAt, lastSeenAt }) => lastSeenAt === undefined || askedAt < lastSeenAt + 1_000))
    t.ok((answers.at(-1)?.answeredAt ?? 0) >= lastSeenAt + 1_000)
    t.equal(await reasonOf(token), 'expired')
  })
}

/** The store in memory, and the records that activity has written. */
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

t.test('a clock that is set back, or of an instance that is behind, does not set activity back', async (t) => {
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
  t.equal(written.length, 4, 'far behind: written, so that the store knows that the session is in use')
  t.equal(written[3], written[2], 'as the same record')
  t.equal(await visitAt(1_501), (NOW + 4_500) * 1_000)
  t.equal(written.length, 4, 'once in a tenth of the idle timeout')
})

t.test('nor does a clock that is behind end a session for those whose clock is right', async (t) => {
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

/** What the guard says to this token: 200, or why not. */
async function visit(app: FastifyInstance, token: string): Promise<unknown> {
  const answer = await app.inject(withToken(token))
  // Behind the write of the use: the clock of a test moves faster than the event loop turns.
  await turn()
  return answer.statusCode === 401 ? answer.json().reason : answer.statusCode
}

// Activity is written once in a tenth of the longer one, so it must not become shorter by more than a factor of ten at once.
const DEPLOYS: [before: number | false, after: number | false][] = [
  [1_800, 600],
  [5_400, 600],
  [600, 1_800],
  [600, 21_600],
  [600, false]
]

for (const [before, after] of DEPLOYS) {
  t.test(`a session in use outlives a release that changes the idle time from ${before} to ${after}`, async (t) => {
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
    t.equal((await (await young).sessions.find(session.id)) !== null, after === false, 'and ends as the release has it')
  })
}

t.test('another idle timeout holds for all sessions at once', async (t) => {
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
