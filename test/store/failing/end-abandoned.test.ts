import t from 'tap'
import { createSessionId } from '../../../lib/model/session-id.js'
import { type AbandonedConfig, AbandonedSessions } from '../../../lib/store/end-abandoned.js'
import type { EndReason, SessionStore } from '../../../lib/store/session-store.js'
import { until } from '../../fixtures/until.js'

const FOR_EVER = Date.now() + 3_600_000
const PAUSE_MS = 20

type End = SessionStore['end']

/** A queue with short pauses over the given `end`, and the recorded calls. */
function createSubject(end: End, config: Partial<AbandonedConfig> = {}) {
  const calls: [id: string, reason: EndReason][] = []
  const counts = new Map<string, number>()
  const store = {
    end(id: string, reason: EndReason) {
      calls.push([id, reason])
      counts.set(id, countOf(id) + 1)
      return end(id, reason)
    }
  }
  const queue = new AbandonedSessions(store, { timeoutMs: 50, pauseMs: PAUSE_MS, ...config })
  t.teardown(() => queue.close())
  const countOf = (id: string) => counts.get(id) ?? 0
  const endLater: AbandonedSessions['endLater'] = (...args) => queue.endLater(...args)
  return { endLater, close: () => queue.close(), calls, countOf }
}

/** Longer than several rounds. */
const rounds = () => new Promise((resolve) => setTimeout(resolve, 10 * PAUSE_MS))

function idsOf(user: string, count = 1): string[] {
  return Array.from({ length: count }, () => createSessionId(user))
}

t.test('a session is ended once, with the given reason, when the store acknowledges the call', async (t) => {
  const { endLater, calls } = createSubject(async () => null)
  const [first = '', second = ''] = idsOf('ada', 2)
  endLater(first, 'revoked', FOR_EVER)
  endLater(second, 'logged_out', FOR_EVER)
  await rounds()
  t.strictSame(calls, [
    [first, 'revoked'],
    [second, 'logged_out']
  ])
})

t.test('a session that is added after the queue was empty is ended', async (t) => {
  const { endLater, countOf } = createSubject(async () => ({ record: 'a record' }))
  const ids = idsOf('ada', 3)
  for (const id of ids) {
    endLater(id, 'revoked', FOR_EVER)
    await until(() => countOf(id) === 1)
    await rounds()
  }
  t.strictSame(ids.map(countOf), [1, 1, 1])
})

const badReplies: Record<string, () => unknown> = {
  'rejects with an error': () => Promise.reject(new Error('no')),
  'rejects with undefined': () => Promise.reject(),
  throws() {
    throw new Error('no')
  },
  'never settles': () => new Promise(() => {}),
  'replies QUEUED': async () => 'QUEUED',
  'replies with undefined': async () => undefined,
  'returns undefined without a promise': () => undefined
}

for (const [name, fail] of Object.entries(badReplies)) {
  t.test(`end() is repeated until the store acknowledges the call, if the store ${name}`, async (t) => {
    let failures = 3
    const { endLater, countOf } = createSubject((() => (failures-- > 0 ? fail() : Promise.resolve(null))) as End)
    const [id = ''] = idsOf('ada')
    t.doesNotThrow(() => endLater(id, 'revoked', FOR_EVER))
    await until(() => countOf(id) === 4)
    await rounds()
    t.equal(countOf(id), 4)
  })
}

t.test('end() is not repeated after the absolute expiry of the session', async (t) => {
  const { endLater, countOf } = createSubject(() => Promise.reject(new Error('no')))
  const [over = '', short = '', long = ''] = idsOf('ada', 3)
  endLater(over, 'revoked', Date.now())
  endLater(short, 'revoked', Date.now() + 100)
  endLater(long, 'revoked', FOR_EVER)
  await until(() => countOf(long) > 20)
  t.equal(countOf(over), 0)
  const tries = countOf(short)
  t.ok(tries >= 1 && tries < countOf(long))
  await rounds()
  t.equal(countOf(short), tries)
})

t.test('the sessions of a round are ended in parallel, with one pause for the whole round', async (t) => {
  let isAway = true
  let [inFlight, most] = [0, 0]
  const end: End = async () => {
    most = Math.max(most, ++inFlight)
    await new Promise((resolve) => setTimeout(resolve, 5))
    inFlight--
    return isAway ? Promise.reject(new Error('no')) : null
  }
  // A pause for each session would take a minute.
  const { endLater, countOf } = createSubject(end, { pauseMs: 300 })
  const ids = idsOf('ada', 200)
  for (const id of ids) endLater(id, 'revoked', FOR_EVER)
  await until(() => ids.some((id) => countOf(id) > 0))
  isAway = false
  await until(() => ids.every((id) => countOf(id) > 0) && inFlight === 0)
  t.ok(most > 10 && most <= 50, `${most} calls at once`)
})

t.test('while the store does not respond, rounds are short and each session gets a turn', async (t) => {
  let isAway = true
  const rounds: number[] = []
  let inFlight = 0
  const ended = new Set<string>()
  const end: End = async (id) => {
    inFlight++
    // The calls of a round start together and are abandoned together.
    if (inFlight === 1) setImmediate(() => rounds.push(inFlight))
    if (isAway) await new Promise((resolve) => setTimeout(resolve, 10))
    inFlight--
    if (isAway) throw new Error('no')
    ended.add(id)
    return null
  }
  const { endLater, countOf } = createSubject(end)
  const ids = idsOf('ada', 200)
  for (const id of ids) endLater(id, 'revoked', FOR_EVER)
  await until(() => ids.every((id) => countOf(id) > 1))
  t.ok(Math.max(...rounds) <= 50, `${rounds}`)
  t.ok(rounds.length >= 8, 'a failed round is followed by a pause')
  isAway = false
  await until(() => ended.size === 200)
})

t.test('a session that can never be ended does not delay other sessions', async (t) => {
  const broken = new Set(idsOf('ada', 60))
  const { endLater, countOf } = createSubject(async (id) => (broken.has(id) ? Promise.reject(new Error('no')) : null))
  const ids = idsOf('ada', 100)
  for (const id of [...broken, ...ids]) endLater(id, 'revoked', FOR_EVER)
  await until(() => ids.every((id) => countOf(id) === 1))
  await until(() => [...broken].every((id) => countOf(id) > 1))
  t.ok(ids.every((id) => countOf(id) === 1))
})

t.test('a server that does not respond delays only the sessions on that server', async (t) => {
  const [dead, healthy] = [idsOf('ada', 1_000), idsOf('bob', 3)]
  const deadTag = dead[0]?.slice(0, 16) ?? ''
  const end: End = async (id) => (id.startsWith(deadTag) ? new Promise(() => {}) : null)
  const config = { partitionOf: (tag: string) => (tag === deadTag ? 'dead' : 'healthy'), pauseMs: 60_000 }
  const { endLater, countOf } = createSubject(end, { ...config, timeoutMs: 60_000 })
  for (const id of dead) endLater(id, 'revoked', FOR_EVER)
  for (const id of healthy) {
    endLater(id, 'revoked', FOR_EVER)
    await until(() => countOf(id) === 1)
  }
  t.pass('no timeout and no pause delayed the healthy server')
})

t.test('sessions that move to another server are ended on the new server', async (t) => {
  let server = 'old'
  const end: End = async () => (server === 'old' ? Promise.reject(new Error('no')) : null)
  const { endLater, countOf, calls } = createSubject(end, { partitionOf: () => server })
  const ids = idsOf('ada', 10)
  for (const id of ids) endLater(id, 'revoked', FOR_EVER)
  await until(() => calls.length > 20)
  server = 'new'
  await until(() => calls.length > 0 && ids.every((id) => countOf(id) > 2))
  await rounds()
  const { length } = calls
  await rounds()
  t.equal(calls.length, length, 'each session has been ended')
})

t.test(
  'a session that moves while end() is pending is ended on the new server, without the pause of the old server',
  async (t) => {
    const [id = ''] = idsOf('ada')
    let server = 'old'
    let fail = () => {}
    const end: End = async () => {
      if (server === 'old') await new Promise<void>((_, reject) => (fail = () => reject(new Error('no'))))
      return null
    }
    const { endLater, countOf } = createSubject(end, { partitionOf: () => server, timeoutMs: 60_000, pauseMs: 60_000 })
    endLater(id, 'revoked', FOR_EVER)
    server = 'new'
    fail()
    await until(() => countOf(id) === 2)
    await rounds()
    t.equal(countOf(id), 2)
  }
)

const unacknowledged = [
  { name: 'beside sessions that were ended', position: 0, count: 3 },
  { name: 'in a batch before other batches', position: 10, count: 120 },
  { name: 'in a batch after other batches', position: 119, count: 120 }
]

for (const { name, position, count } of unacknowledged) {
  t.test(`a session that could not be ended waits for the pause, ${name}`, async (t) => {
    const ids = idsOf('ada', count)
    const broken = ids[position]
    const end: End = async (id) => (id === broken ? Promise.reject(new Error('no')) : null)
    const { endLater, countOf } = createSubject(end, { pauseMs: 60_000 })
    // The first round holds this session only.
    endLater(createSessionId('ada'), 'revoked', FOR_EVER)
    for (const id of ids) endLater(id, 'revoked', FOR_EVER)
    await until(() => ids.every((id) => countOf(id) === 1))
    await rounds()
    t.ok(ids.every((id) => countOf(id) === 1))
  })
}

t.test('a round stops after a batch without any success, so that a dead server gets few calls', async (t) => {
  let isDead = false
  const end: End = async () => (isDead ? Promise.reject(new Error('no')) : null)
  const { endLater, calls } = createSubject(end, { pauseMs: 60_000 })
  // The first round holds the first session only.
  for (const id of idsOf('ada', 1_000)) endLater(id, 'revoked', FOR_EVER)
  isDead = true
  await until(() => calls.length > 1)
  await rounds()
  t.equal(calls.length, 51)
})

t.test('a session that is added again before its turn is ended once, with the last reason', async (t) => {
  const acknowledge: (() => void)[] = []
  const end: End = () => new Promise((resolve) => acknowledge.push(() => resolve(null)))
  const { endLater, calls } = createSubject(end, { timeoutMs: 60_000 })
  const release = () => {
    for (const settle of acknowledge.splice(0)) settle()
  }
  const ids = idsOf('ada', 52)
  for (const id of ids) endLater(id, 'revoked', FOR_EVER)
  release()
  await until(() => acknowledge.length === 50)
  const [last = ''] = ids.slice(-1)
  endLater(last, 'logged_out', FOR_EVER)
  release()
  await until(() => acknowledge.length > 0)
  release()
  await rounds()
  t.strictSame(
    calls.filter(([id]) => id === last),
    [[last, 'logged_out']]
  )
})

t.test('a session that is added again during end() is ended once more', async (t) => {
  const acknowledge: ((reply: null) => void)[] = []
  const end: End = () => new Promise((resolve) => acknowledge.push(resolve))
  const { endLater, countOf } = createSubject(end, { timeoutMs: 60_000 })
  const [id = ''] = idsOf('ada')
  endLater(id, 'revoked', FOR_EVER)
  endLater(id, 'revoked', FOR_EVER)
  t.equal(countOf(id), 1)
  acknowledge[0]?.(null)
  await until(() => countOf(id) === 2)
  acknowledge[1]?.(null)
  await rounds()
  t.equal(countOf(id), 2)
})

t.test('an overflow drops the sessions that were tried first, and is reported once', async (t) => {
  let isAway = true
  let overflows = 0
  const end: End = async () => (isAway ? Promise.reject(new Error('no')) : null)
  const { endLater, countOf, calls } = createSubject(end, { pauseMs: 200, onOverflow: () => overflows++ })
  const [ids, more] = [idsOf('ada', 50_000), idsOf('ada', 100)]
  for (const id of ids) endLater(id, 'revoked', FOR_EVER)
  endLater(ids[10] ?? '', 'revoked', FOR_EVER)
  t.equal(overflows, 0, 'a session that is in the queue takes no more room')
  for (const id of more) endLater(id, 'revoked', FOR_EVER)
  t.equal(overflows, 1)
  isAway = false
  await until(() => calls.length >= 50_000)
  await rounds()
  t.strictSame(
    [...more, ids.at(10), ids.at(200)].map((id) => countOf(id ?? '')),
    Array.from({ length: 102 }, () => 1)
  )
  t.equal(countOf(ids.at(50) ?? ''), 0, 'the session was dropped')
  t.ok(calls.length <= 50_001)
  isAway = true
  for (const id of [...ids, ...more]) endLater(id, 'revoked', FOR_EVER)
  t.equal(overflows, 2, 'a second overflow is reported after the queue had room')
})

t.test('close() drops the waiting sessions, and later sessions are ignored', async (t) => {
  const { endLater, close, calls } = createSubject(() => Promise.reject(new Error('no')))
  for (const id of idsOf('ada', 3)) endLater(id, 'revoked', FOR_EVER)
  await until(() => calls.length > 3)
  close()
  const { length } = calls
  for (const id of idsOf('bob', 3)) endLater(id, 'revoked', FOR_EVER)
  await rounds()
  t.equal(calls.length, length)
})

t.test('no timer of the queue keeps the process alive', async (t) => {
  const active = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = active()
  const { endLater, calls } = createSubject(() => new Promise(() => {}))
  endLater(createSessionId('ada'), 'revoked', FOR_EVER)
  let most = 0
  // Not until(): active() would count the timer of until().
  while (calls.length < 4) {
    most = Math.max(most, active())
    await new Promise(setImmediate)
  }
  t.ok(most <= before, 'no timer during a call of the store or between two rounds')
})
