import t from 'tap'
import { createMemoryStore, type SessionStore } from '../../lib/index.js'
import { createFaultyStore } from '../../lib/testing/index.js'

t.test(
  'the tracking of the inner store is current while the store is connected, and closed with the other',
  async (t) => {
    let isClosed = false
    const tracking = {
      attempted: Promise.resolve(),
      isCurrent: (tag: string) => tag === 'current',
      close: () => {
        isClosed = true
      }
    }
    const inner: SessionStore = { ...createMemoryStore(), track: () => tracking }
    const store = createFaultyStore(inner)
    const wrapped = store.track?.({ maxStaleMs: 1_000, onChange() {}, onRefused() {} })
    t.equal(wrapped?.attempted, tracking.attempted)
    const current = () => [wrapped?.isCurrent('current'), wrapped?.isCurrent('stale')]
    t.strictSame(current(), [true, false])
    for (const start of [() => store.hang(), () => store.fail('EPIPE')]) {
      start()
      t.strictSame(current(), [false, false])
    }
    for (const start of [() => store.slow(1), () => store.readOnly(), () => store.heal()]) {
      start()
      t.strictSame(current(), [true, false])
    }
    wrapped?.close()
    t.ok(isClosed)
  }
)

t.test('a store without a prototype is wrapped too', async (t) => {
  const inner: SessionStore = Object.assign(Object.create(null), createMemoryStore())
  t.equal(await createFaultyStore(inner).find('id'), null)
})

t.test('a call that waits meets the next fault', async (t) => {
  const store = createFaultyStore(createMemoryStore())
  store.hang()
  const found = store.find('id')
  store.fail('ECONNREFUSED')
  await t.rejects(found, { code: 'ECONNREFUSED' })
})
