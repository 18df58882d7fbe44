import t from 'tap'
import { createMemoryStore, type SessionStore } from '../../lib/index.js'
import { createApp } from '../fixtures/app.js'

const session = { idleTimeoutSeconds: 600, ttlSeconds: 3_600 }

t.test('the downtime of a store is measured from the start of the app to the close of the app', async (t) => {
  const events: unknown[] = []
  const watchDowntime: SessionStore['watchDowntime'] = (options) => {
    events.push(options)
    return { attempted: Promise.resolve(), of: () => [], close: () => events.push('closed') }
  }
  const app = await createApp(t, { store: { ...createMemoryStore(), watchDowntime }, session, storeTimeoutMs: 300 })
  t.strictSame(events, [{ intervalMs: 5_000, rememberMs: 3_600_000, timeoutMs: 300 }])
  await app.close()
  t.equal(events[1], 'closed')
})

t.test('without an idle timeout no downtime is measured', async (t) => {
  const watchDowntime = () => t.fail('measured') as never
  await createApp(t, {
    store: { ...createMemoryStore(), watchDowntime },
    session: { ...session, idleTimeoutSeconds: false }
  })
})
