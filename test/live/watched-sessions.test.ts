import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStore, type Session, type SessionEvent } from '../../lib/index.js'
import { WatchedSessions } from '../../lib/live/watched-sessions.js'
import type { OpenRecord } from '../../lib/model/open-record.js'
import { createSessionId } from '../../lib/model/session-id.js'
import { ChangeFeed } from '../../lib/store/change-feed.js'
import type { ChangeTracking, FoundRecord, TrackingOptions } from '../../lib/store/session-store.js'
import { createApp } from '../fixtures/app.js'
import { createGate } from '../fixtures/create-gate.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

const session: Session = {
  id: createSessionId('ada'),
  user: { id: 'ada' },
  data: {},
  createdAt: Date.now(),
  lastSeenAt: Date.now(),
  expiresAt: Date.now() + 3_600_000,
  ip: null,
  userAgent: null
}

/** Watched sessions over a store with replies of the test. */
function createWatched(t: Test, reply: () => Promise<FoundRecord | null>, openRecord: OpenRecord) {
  let reads = 0
  const find = () => {
    reads++
    return reply()
  }
  const feed = new ChangeFeed({}, 1_000)
  const watched = new WatchedSessions({
    feed,
    store: { find },
    lifetimes: { idleExpiryOf: () => null },
    openRecord,
    log: Fastify().log
  })
  t.teardown(() => watched.close())
  const events: SessionEvent[] = []
  const stop = watched.watch(session, (event) => events.push(event))
  return { watched, feed, events, stop, reads: () => reads }
}

t.test('an unknown expiry ends no session, and the session is read again', async (t) => {
  const states = ['not_known', 'not_known', 'expired'] as const
  let call = 0
  const { events, reads } = createWatched(
    t,
    async () => ({ record: '' }),
    () => states[call++] ?? 'expired'
  )
  await until(() => reads() === 2)
  t.strictSame(events, [])
  await until(() => events.length > 0)
  t.strictSame(events, [{ ended: 'expired' }])
})

t.test('an unreadable record ends no session', async (t) => {
  const { events, feed, reads } = createWatched(
    t,
    async () => ({ record: '' }),
    () => 'login_needed'
  )
  await until(() => reads() === 1)
  feed.changed(null)
  await until(() => reads() === 2)
  t.strictSame(events, [])
})

t.test('after a lost connection a few sessions are read at once, and many are spread over time', async (t) => {
  const { watched, feed, reads } = createWatched(
    t,
    async () => null,
    () => 'login_needed'
  )
  let now = performance.now()
  t.intercept(performance, 'now', { value: () => now })
  t.intercept(Math, 'random', { value: () => 0.999 })
  await until(() => reads() === 1)
  feed.changed(null)
  now += 1
  await until(() => reads() === 2)
  const others = Array.from({ length: 99 }, () => ({ ...session, id: createSessionId('ada') }))
  for (const other of others) watched.watch(other, () => {})
  await until(() => reads() === 101)
  feed.changed(null)
  now += 99
  await delay(500)
  t.equal(reads(), 101)
  now += 1
  await until(() => reads() === 201)
})

t.test('an end that is read after the watch has stopped is not reported', async (t) => {
  const gate = createGate()
  const { events, stop, watched } = createWatched(
    t,
    async () => {
      await gate.opened
      return null
    },
    () => 'unknown'
  )
  stop()
  stop()
  t.equal(watched.size, 0)
  gate.open()
  await new Promise(setImmediate)
  t.strictSame(events, [])
})

t.test('a change during a read causes another read', async (t) => {
  const gate = createGate()
  const states = ['login_needed', 'revoked'] as const
  let call = 0
  const { events, feed, reads } = createWatched(
    t,
    async () => {
      if (call === 0) await gate.opened
      return null
    },
    () => states[call++] ?? 'unknown'
  )
  feed.changed(null)
  for (const tag of [session.id.slice(0, 16), createSessionId('bob').slice(0, 16)]) feed.changed(tag)
  t.equal(reads(), 1)
  gate.open()
  await until(() => events.length > 0)
  t.strictSame(events, [{ ended: 'revoked' }])
  t.equal(reads(), 2)
})

t.test('without an idle timeout a session is watched until its absolute expiry', async (t) => {
  const app = await createApp(t, { upstream, session: { idleTimeoutSeconds: false } })
  const { session } = await app.sessions.create({ id: 'ada' }, { ttlSeconds: 1 })
  const events: SessionEvent[] = []
  app.sessions.watch(session, (event) => events.push(event))
  await app.sessions.update(session.id, { theme: 'dark' })
  await until(() => events.length === 2)
  t.hasStrict(events[0], { session: { data: { theme: 'dark' } } })
  t.strictSame(events[1], { ended: 'expired' })
})

t.test('a listener that is added after a refusal of tracking gets the refusal', async (t) => {
  let refuse: TrackingOptions['onRefused'] = () => t.fail('not tracked')
  const track = ({ onRefused }: TrackingOptions): ChangeTracking => {
    refuse = onRefused
    return { attempted: Promise.resolve(), isCurrent: () => false, close() {} }
  }
  const feed = new ChangeFeed({ track }, 1_000)
  const codes: string[] = []
  const listener = { onChange() {}, onRefused: (code: string) => void codes.push(code) }
  t.equal(feed.isCurrent('tag'), false, 'the feed is not current before tracking')
  await feed.subscribe(listener)
  refuse(new Error('NOPERM a user'))
  refuse(new Error('NOPERM a user'))
  t.strictSame(codes, ['NOPERM'])
  await feed.subscribe(listener)
  t.strictSame(codes, ['NOPERM', 'NOPERM'])
})

t.test('the memory store reports each change to each tracker, until the tracker is closed', async (t) => {
  const store = createMemoryStore()
  t.teardown(() => store.close())
  const seen: (string | null)[] = []
  const tracking = store.track?.({ maxStaleMs: 1_000, onChange: (tag) => seen.push(tag), onRefused() {} })
  t.equal(tracking?.isCurrent('any'), true)
  const id = createSessionId('ada')
  const [tag] = [id.slice(0, 16)]
  const limit = { max: 1, onFull: 'evict' as const }
  const inAnHour = Date.now() + 3_600_000
  await store.create(id, 'a record', {
    expiresAt: inAnHour,
    startedMsAgo: 0,
    notAfter: inAnHour,
    limit,
    replaces: null
  })
  await store.replace(id, 'a record', 'the next')
  await store.end(id, 'revoked')
  t.strictSame(seen.splice(0), [tag, tag, tag])
  tracking?.close()
  await store.endAll(tag, 'revoked', null)
  t.strictSame(seen, [])
})
