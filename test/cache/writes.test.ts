import t from 'tap'
import { SessionCache } from '../../lib/cache/session-cache.js'
import { createSessionId, splitSessionId } from '../../lib/model/session-id.js'
import { ChangeFeed } from '../../lib/store/change-feed.js'
import type { GuardedStore } from '../../lib/store/guarded-store.js'
import { createReportingStore } from '../../lib/store/reporting-store.js'
import { createGate } from '../fixtures/create-gate.js'

const CREATE = {
  expiresAt: 0,
  startedMsAgo: 0,
  limit: { max: 1, onFull: 'evict' as const },
  replaces: null
}

/** Every change of a session. */
const changes: Record<string, (store: GuardedStore, id: string) => Promise<unknown>> = {
  create: (store, id) => store.create(id, 'a record', CREATE),
  replace: (store, id) => store.replace(id, 'a record', 'the next'),
  end: (store, id) => store.end(id, 'logged_out'),
  endAll: (store, id) => store.endAll(splitSessionId(id)[0], 'revoked', null)
}

/** A store that waits before and after each change, and a cache over this store that gets no notifications. */
function createSlowStore() {
  const before = createGate()
  const after = createGate()
  let value = 'before'
  const calls: unknown[][] = []
  let fails = false
  const change =
    (name: string) =>
    async (...args: unknown[]) => {
      calls.push([name, ...args])
      await before.opened
      value = 'after'
      await after.opened
      if (fails) throw new Error('no answer')
      return name as never
    }
  const note =
    (name: string, result?: unknown) =>
    (...args: unknown[]) => {
      calls.push([name, ...args])
      return result as never
    }
  const store: GuardedStore = {
    create: change('create'),
    replace: change('replace'),
    end: change('end'),
    endAll: change('endAll'),
    find: note('find', 'found'),
    list: note('list', 'listed'),
    readTokens: note('readTokens', 'tokens'),
    writeTokens: note('writeTokens', true),
    newBudget: note('newBudget', 'a budget'),
    endLater: note('endLater'),
    isReady: note('isReady', 'ready'),
    downtimeOf: note('downtimeOf', 'downtimes'),
    circuit: { isOpen: false, inFlight: 7 }
  }
  const cache = new SessionCache<string>(10, () => true)
  const feed = new ChangeFeed({}, 1_000)
  const forget = (tag: string | null) => cache.forget(tag)
  void feed.subscribe({ onChanging: forget, onChange: forget, onRefused() {} })
  return {
    cache,
    store: createReportingStore(store, feed),
    before,
    after,
    calls: () => calls.splice(0),
    fail() {
      fails = true
    },
    /** The value that a request gets. */
    async read(id: string) {
      return cache.get(id) ?? cache.load(id, splitSessionId(id)[0], async () => value)
    }
  }
}

const turn = () => new Promise(setImmediate)

for (const [name, change] of Object.entries(changes)) {
  t.test(`${name}(): no request gets the old session after the store has made the change`, async (t) => {
    const { cache, store, read, before } = createSlowStore()
    const id = createSessionId('ada')
    t.equal(await read(id), 'before')
    void change(store, id)
    t.equal(cache.get(id), undefined, 'no entry during the change')
    before.open()
    await turn()
    t.equal(await read(id), 'after', 'the store has not acknowledged the change')
  })

  t.test(`${name}(): a read during the change is dropped when the change settles`, async (t) => {
    for (const isLost of [false, true]) {
      const { store, read, before, after, fail, cache } = createSlowStore()
      const [id, other] = [createSessionId('ada'), createSessionId('bob')]
      if (isLost) fail()
      const changing = change(store, id)
      t.equal(await read(id), 'before')
      t.equal(await read(other), 'before')
      before.open()
      after.open()
      if (isLost) await t.rejects(changing, { message: 'no answer' }, 'the change may have taken effect')
      else await changing
      t.equal(await read(id), 'after')
      t.equal(cache.get(other), 'before', 'other users are not affected')
    }
  })
}

t.test('endLater() drops the cached session at once', async (t) => {
  const { store, read, cache, calls } = createSlowStore()
  const id = createSessionId('ada')
  await read(id)
  store.endLater(id, 'logged_out', 5)
  t.equal(cache.get(id), undefined)
  t.strictSame(calls(), [['endLater', id, 'logged_out', 5]])
})

t.test('a change of the tokens of the upstream leaves the cached session', async (t) => {
  const { store, read, cache } = createSlowStore()
  const id = createSessionId('ada')
  await read(id)
  await store.writeTokens(id, 'next', 'tokens')
  t.equal(cache.get(id), 'before')
})

t.test('arguments and results of the store are passed on', async (t) => {
  const { store, before, after, calls } = createSlowStore()
  before.open()
  after.open()
  const budget = store.newBudget()
  const id = createSessionId('ada')
  const tag = splitSessionId(id)[0]
  const results: unknown[] = [
    budget,
    await store.create(id, 'record', CREATE, budget),
    await store.find(id, budget),
    await store.replace(id, 'record', 'next', budget),
    await store.end(id, 'replaced', budget),
    await store.endAll(tag, 'revoked', id, budget),
    await store.list(tag, budget),
    await store.readTokens(id, budget),
    await store.writeTokens(id, 'tokens', null, budget),
    await store.isReady(),
    store.downtimeOf(tag, 7),
    store.circuit
  ]
  const expected: unknown[] = [
    'a budget',
    'create',
    'found',
    'replace',
    'end',
    'endAll',
    'listed',
    'tokens',
    true,
    'ready',
    'downtimes',
    { isOpen: false, inFlight: 7 }
  ]
  t.strictSame(results, expected)
  t.strictSame(calls(), [
    ['newBudget'],
    ['create', id, 'record', CREATE, budget],
    ['find', id, budget],
    ['replace', id, 'record', 'next', budget],
    ['end', id, 'replaced', budget],
    ['endAll', tag, 'revoked', id, budget],
    ['list', tag, budget],
    ['readTokens', id, budget],
    ['writeTokens', id, 'tokens', null, budget],
    ['isReady'],
    ['downtimeOf', tag, 7]
  ])
})
