import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { createMemoryStore, type SessionStore } from '../../lib/index.js'
import { logIn } from '../fixtures/app.js'
import { createGate } from '../fixtures/create-gate.js'
import { createCustodyApp, numberOf } from '../fixtures/custody-app.js'
import { startTokenUpstream } from '../fixtures/token-upstream.js'
import { until } from '../fixtures/until.js'

t.test('a call that joins a refresh whose token the upstream has rejected meanwhile gets the next token', async (t) => {
  const upstream = await startTokenUpstream(t)
  const memory = createMemoryStore()
  t.teardown(() => memory.close())
  const gate = createGate()
  let isStored = false
  let readsAfter = 0
  const store: SessionStore = {
    ...memory,
    // The new tokens are in the store, for other processes too, before this process gets the reply.
    async writeTokens(id, tokens, former) {
      const isWritten = (await memory.writeTokens?.(id, tokens, former)) ?? false
      isStored ||= former !== null && !tokens.includes('|')
      if (isStored) await gate.opened
      return isWritten
    },
    async readTokens(id) {
      if (isStored) readsAfter++
      return memory.readTokens?.(id) ?? null
    }
  }
  const app = await createCustodyApp(t, upstream, { store, storeTimeoutMs: 60_000 })
  const token = await logIn(app)
  const first = numberOf(app, token, 1)
  await until(() => isStored)
  const second = numberOf(app, token, 2)
  await until(() => readsAfter === 1)
  await setImmediate()
  gate.open()
  t.strictSame(await Promise.all([first, second]), [2, 3])
  t.strictSame(upstream.refreshes, ['ada:1', 'ada:2'])
})

t.test('a session that ends between the reads of record and tokens is an ended session', async (t) => {
  const upstream = await startTokenUpstream(t)
  const memory = createMemoryStore()
  t.teardown(() => memory.close())
  let found: Promise<unknown> = Promise.resolve()
  const store: SessionStore = {
    ...memory,
    find(id) {
      const finding = memory.find(id)
      found = finding
      return finding
    },
    async readTokens(id) {
      await found
      await memory.end(id, 'revoked')
      return memory.readTokens?.(id) ?? null
    }
  }
  const app = await createCustodyApp(t, upstream, { store })
  t.equal(await numberOf(app, await logIn(app)), '401 ENDED')
})
