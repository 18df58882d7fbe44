import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createMemoryStore, type SessionStore } from '../../lib/index.js'
import { createApp, withToken } from '../fixtures/app.js'
import { freezeClock, NOW } from '../fixtures/tokens.js'

/** Seconds. */
const IDLE = 600
const TENTH = IDLE / 10

/** A store that notifies of no change, so that caches keep what they have read. */
function createSilentStore(t: Test) {
  const memory = createMemoryStore()
  t.teardown(() => memory.close())
  const calls = { find: 0, replace: 0 }
  const store: SessionStore = {
    ...memory,
    async find(id) {
      calls.find++
      return memory.find(id)
    },
    async replace(...args) {
      calls.replace++
      return memory.replace(...args)
    },
    track: () => ({ attempted: Promise.resolve(), isCurrent: () => true, close() {} })
  }
  return { memory, store, calls }
}

async function createCachedApp(t: Test, store: SessionStore) {
  const app = await createApp(t, { store, cache: true, session: { idleTimeoutSeconds: IDLE } })
  return {
    create: () => app.sessions.create({ id: 'ada' }),
    refusal: async (token: string) => (await app.inject(withToken(token))).json(),
    /** The activity is written in the background. */
    async use(token: string): Promise<void> {
      t.equal((await app.inject(withToken(token))).statusCode, 200)
      await turn()
    }
  }
}

t.test(
  'activity of a cached session is written once, whichever instance or release has written the record',
  async (t) => {
    const { memory, store, calls } = createSilentStore(t)
    const clock = freezeClock(t)
    const [writer, other] = [await createCachedApp(t, store), await createCachedApp(t, store)]
    const { token, session } = await writer.create()
    for (const app of [writer, other]) await app.use(token)
    t.strictSame(calls, { find: 2, replace: 0 })
    clock.now = NOW + TENTH
    await writer.use(token)
    t.strictSame(calls, { find: 2, replace: 1 }, 'written without a read')
    await other.use(token)
    t.strictSame(calls, { find: 3, replace: 2 }, 'the record has the activity already')

    await writer.use(token)
    const found = await memory.find(session.id)
    const record = found !== null && 'record' in found ? found.record : ''
    t.ok(await memory.replace(session.id, record, `${record},{}, "a newer release"`))
    clock.now = NOW + 2 * TENTH
    await writer.use(token)
    t.match(await memory.find(session.id), { record: `${(TENTH * 2_000).toString(36)} ` })
    t.match(await memory.find(session.id), { record: '"a newer release"' })
  }
)

t.test('activity of a cached session that has ended is not written, and the next request is refused', async (t) => {
  const { memory, store, calls } = createSilentStore(t)
  const clock = freezeClock(t)
  const app = await createCachedApp(t, store)
  const { token, session } = await app.create()
  await app.use(token)
  await memory.end(session.id, 'revoked')
  clock.now = NOW + TENTH
  await app.use(token)
  t.strictSame(calls, { find: 2, replace: 1 })
  t.match(await app.refusal(token), { reason: 'revoked' })
  t.strictSame(await memory.find(session.id), { ended: 'revoked' })
})
