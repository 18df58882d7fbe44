import t from 'tap'
import { createSessionId } from '../../lib/model/session-id.js'
import { type AbandonedConfig, AbandonedSessions } from '../../lib/store/end-abandoned.js'
import type { EndReason, SessionStore } from '../../lib/store/session-store.js'
import { until } from '../fixtures/until.js'

const FOR_EVER = Date.now() + 3_600_000
const PAUSE_MS = 20

type End = SessionStore['end']

/** A queue over a store of the test, with short pauses; the calls of the store. */
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

t.test('a session is ended once when the store acknowledges it, with its reason', async (t) => {
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

t.test('a session that comes when the queue has been empty is ended too', async (t) => {
  const { endLater, countOf } = createSubject(async () => ({ record: 'a record' }))
  const ids = idsOf('ada', 3)
  for (const id of ids) {
    endLater(id, 'revoked', FOR_EVER)
    await until(() => countOf(id) === 1)
    await rounds()
  }
  t.strictSame(ids.map(countOf), [1, 1, 1])
})

const unheard: Record<string, () => unknown> = {
  'rejects with an error': () => Promise.reject(new Error('no')),
  'rejects with nothing': () => Promise.reject(),
  throws() {
    throw new Error('no')
  },
  'never settles': () => new Promise(() => {}),
  'replies QUEUED': async () => 'QUEUED',
  'replies with nothing': async () => undefined,
  'replies at once with nothing': () => undefined
}

for (const [name, fail] of Object.entries(unheard)) {
  t.test(`a session is ended again and again until the store acknowledges it: the store ${name}`, async (t) => {
    let failures = 3
    const { endLater, countOf } = createSubject((() => (failures-- > 0 ? fail() : Promise.resolve(null))) as End)
    const [id = ''] = idsOf('ada')
    t.doesNotThrow(() => endLater(id, 'revoked', FOR_EVER))
    await until(() => countOf(id) === 4)
    await rounds()
    t.equal(countOf(id), 4)
  })
}

t.test('or until its absolute expiry has passed: then it has ended by itself', async (t) => {
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

t.test('all sessions of a round are tried side by side, and one pause is made for all of them', async (t) => {
  let isAway = true
  let [inFlight, most] = [0, 0]
  const end: End = async () => {
    most = Math.max(most, ++inFlight)
    await new Promise((resolve) => setTimeout(resolve, 5))
    inFlight--
    return isAway ? Promise.reject(new Error('no')) : null
  }
  // With a pause for each session this would take a minute.
  const { endLater, countOf } = createSubject(end, { pauseMs: 300 })
  const ids = idsOf('ada', 200)
  for (const id of ids) endLater(id, 'revoked', FOR_EVER)
  await until(() => ids.some((id) => countOf(id) > 0))
  isAway = false
  await until(() => ids.every((id) => countOf(id) > 0) && inFlight === 0)
  t.ok(most > 10 && most <= 50, `${most} at once`)
})

t.test('while the store does not respond each round is short, and each session has its turn', async (t) => {
  let isAway = true
  const rounds: number[] = []
  let inFlight = 0
  const ended = new Set<string>()
  const end: End = async (id) => {
    inFlight++
    // The calls of a round begin at once, and are abandoned together.
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
  t.ok(rounds.length >= 8, 'a round that fails is not followed by another one without a pause')
  isAway = false
  await until(() => ended.size === 200)
})

t.test('a session that can never be ended does not hold up the others', async (t) => {
  const broken = new Set(idsOf('ada', 60))
  const { endLater, countOf } = createSubject(async (id) => (broken.has(id) ? Promise.reject(new Error('no')) : null))
  const ids = idsOf('ada', 100)
  for (const id of [...broken, ...ids]) endLater(id, 'revoked', FOR_EVER)
  await until(() => ids.every((id) => countOf(id) === 1))
  await until(() => [...broken].every((id) => countOf(id) > 1))
  t.ok(ids.every((id) => countOf(id) === 1))
})

t.test('a server that does not respond holds up its own sessions only', async (t) => {
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
  t.pass('neither a timeout nor a pause was waited for')
})

t.test('sessions that move to another server are ended there', async (t) => {
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
  t.equal(calls.length, length, 'each has been ended')
})

t.test(
  'a session that moves while it is being ended is ended there, without the pause of the old server',
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
  { name: 'beside others that are', position: 0, count: 3 },
  { name: 'in a batch before others', position: 10, count: 120 },
  { name: 'in a batch behind others', position: 119, count: 120 }
]

for (const { name, position, count } of unacknowledged) {
  t.test(`a session that could not be ended waits for the pause, ${name}`, async (t) => {
    const ids = idsOf('ada', count)
    const broken = ids[position]
    const end: End = async (id) => (id === broken ? Promise.reject(new Error('no')) : null)
    const { endLater, countOf } = createSubject(end, { pauseMs: 60_000 })
    // The first session is alone in its round.
    endLater(createSessionId('ada'), 'revoked', FOR_EVER)
    for (const id of ids) endLater(id, 'revoked', FOR_EVER)
    await until(() => ids.every((id) => countOf(id) === 1))
    await rounds()
    t.ok(ids.every((id) => countOf(id) === 1))
  })
}

t.test('a round ends with a batch of which no session could be ended: a dead server gets few calls', async (t) => {
  let isDead = false
  const end: End = async () => (isDead ? Promise.reject(new Error('no')) : null)
  const { endLater, calls } = createSubject(end, { pauseMs: 60_000 })
  // The first session is alone in its round.
  for (const id of idsOf('ada', 1_000)) endLater(id, 'revoked', FOR_EVER)
  isDead = true
  await until(() => calls.length > 1)
  await rounds()
  t.equal(calls.length, 51)
})

t.test('a session that comes again before its turn is ended once, for the reason that came last', async (t) => {
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

t.test('a session that comes again while it is being ended is ended once more', async (t) => {
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

t.test('of too many those that were tried first are dropped, which is told once', async (t) => {
  let isAway = true
  let overflows = 0
  const end: End = async () => (isAway ? Promise.reject(new Error('no')) : null)
  const { endLater, countOf, calls } = createSubject(end, { pauseMs: 200, onOverflow: () => overflows++ })
  const [ids, more] = [idsOf('ada', 50_000), idsOf('ada', 100)]
  for (const id of ids) endLater(id, 'revoked', FOR_EVER)
  endLater(ids[10] ?? '', 'revoked', FOR_EVER)
  t.equal(overflows, 0, 'a session that waits already takes no room')
  for (const id of more) endLater(id, 'revoked', FOR_EVER)
  t.equal(overflows, 1)
  isAway = false
  await until(() => calls.length >= 50_000)
  await rounds()
  t.strictSame(
    [...more, ids.at(10), ids.at(200)].map((id) => countOf(id ?? '')),
    Array.from({ length: 102 }, () => 1)
  )
  t.equal(countOf(ids.at(50) ?? ''), 0, 'it was dropped')
  t.ok(calls.length <= 50_001)
  isAway = true
  for (const id of [...ids, ...more]) endLater(id, 'revoked', FOR_EVER)
  t.equal(overflows, 2, 'and told again when there was room meanwhile')
})

t.test('close() forgets what is left, and takes no more', async (t) => {
  const { endLater, close, calls } = createSubject(() => Promise.reject(new Error('no')))
  for (const id of idsOf('ada', 3)) endLater(id, 'revoked', FOR_EVER)
  await until(() => calls.length > 3)
  close()
  const { length } = calls
  for (const id of idsOf('bob', 3)) endLater(id, 'revoked', FOR_EVER)
  await rounds()
  t.equal(calls.length, length)
})

t.test('no timer keeps the process alive', async (t) => {
  const active = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = active()
  const { endLater, calls } = createSubject(() => new Promise(() => {}))
  endLater(createSessionId('ada'), 'revoked', FOR_EVER)
  let most = 0
  // Not until(): its timer would be seen too.
  while (calls.length < 4) {
    most = Math.max(most, active())
    await new Promise(setImmediate)
  }
  t.ok(most <= before, 'neither while the store is called nor between two rounds')
})
