import { isDeepStrictEqual } from 'node:util'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import {
  createMemoryStore,
  InvalidDataError,
  type JwtSessionOptions,
  type Session,
  type SessionStore
} from '../../lib/index.js'
import { onceNotified, withToken } from '../fixtures/app.js'
import { createHost } from '../fixtures/host.js'
import { STORES } from '../fixtures/stores.js'

type Patch = Record<string, unknown>

const MAX_BYTES = 4_096
const INVALID = { name: 'InvalidDataError', code: 'FST_JWT_SESSION_INVALID_DATA', statusCode: 500 }

/** `GET /data` returns the data. `POST /data` updates the data and returns the result, and the data in the handler. */
async function createDataApp(t: Test, options: Partial<JwtSessionOptions>): Promise<FastifyInstance> {
  const { app } = await createHost(t, {
    options,
    after(app) {
      app.get('/data', { preHandler: app.verifySession }, async ({ session }) => session.data)
      app.post<{ Body: Patch }>('/data', { preHandler: app.verifySession }, async ({ session, body }) => {
        const updated = await session.update(body)
        return { updated: updated?.data ?? null, seen: session.data }
      })
    }
  })
  return app
}

class Cart {
  items = 1
}

const circular: Record<string, unknown> = {}
circular.self = circular

/** Values that are no JSON object, or contain values that JSON cannot represent. */
const HOSTILE: Record<string, unknown> = {
  ...{ nothing: undefined, null: null, number: 1, text: 'x', bigint: 1n, symbol: Symbol('x'), function: () => ({}) },
  ...{ array: [1], 'empty array': [], map: new Map([['a', 1]]), date: new Date(), instance: new Cart() },
  ...{ promise: Promise.resolve({ a: 1 }), 'a text object': Object('x'), 'an error': new Error('x') },
  ...{ circular, 'a bigint inside': { a: { b: 1n } }, 'a cycle inside': { a: [circular] } },
  'an object with a prototype': Object.create({ a: 1 }),
  'a toJSON() that returns a text': { toJSON: () => 'x' },
  'a toJSON() that returns an array': { toJSON: () => [1] },
  'a toJSON() that returns undefined': { toJSON: () => undefined },
  'a toJSON() that throws': {
    toJSON() {
      throw new Error('x')
    }
  },
  'too deep for JSON.stringify': { a: JSON.parse('['.repeat(20_000) + ']'.repeat(20_000)) }
}

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`the data of a session is stored in the ${name} store:`, async (t) => {
    const store = await createStore(t)
    // Conflicts between two instances are retried, which takes time on a busy machine.
    const options = { store, storeTimeoutMs: 10_000 }
    const [app, other] = [await createDataApp(t, options), await createDataApp(t, options)]
    const open = async () => app.sessions.create({ id: 'ada' }, { ip: '::1', userAgent: 'x' })
    /** The data on the other instance, once the instance is notified of the change. */
    const seen = async (token: string, isExpected: (data: Patch) => boolean): Promise<Patch> => {
      const read = () => other.inject(withToken(token, { url: '/data' }))
      return (await onceNotified(read, (answer) => isExpected(answer.json()))).json()
    }
    const assertSeen = async (t: Test, token: string, data: Patch) =>
      t.strictSame(await seen(token, (seen) => isDeepStrictEqual(seen, data)), data)

    t.test('data is empty at first, and every instance sees the result of update()', async (t) => {
      const { token, session } = await open()
      t.strictSame(session.data, {})
      await assertSeen(t, token, {})
      const updated = await app.sessions.update(session.id, { cart: ['a'], step: 1 })
      t.strictSame(updated, { ...session, data: { cart: ['a'], step: 1 } }, 'no other field has changed')
      await assertSeen(t, token, { cart: ['a'], step: 1 })
      t.strictSame(await other.sessions.find(session.id), updated)
    })

    t.test('update() replaces the fields of the patch and keeps all other fields', async (t) => {
      const { session } = await open()
      const update = async (patch: Patch) => (await app.sessions.update(session.id, patch))?.data
      t.strictSame(await update({ a: 1, b: { c: 1 } }), { a: 1, b: { c: 1 } })
      t.strictSame(await update({ b: { d: 2 } }), { a: 1, b: { d: 2 } }, 'a field is replaced, not merged')
      t.strictSame(await update({ a: undefined, e: null, f: false, g: 0, h: '' }), {
        b: { d: 2 },
        ...{ e: null, f: false, g: 0, h: '' }
      })
      t.strictSame(await update({ x: undefined }), { b: { d: 2 }, e: null, f: false, g: 0, h: '' })
      t.strictSame(await update({ b: undefined, e: undefined, f: undefined, g: undefined, h: undefined }), {})
      t.strictSame(await update({}), {})
    })

    t.test('update() returns the data as later reads do', async (t) => {
      const { token, session } = await open()
      const patch = {
        date: new Date(0),
        not: Number.NaN,
        list: [undefined, 1],
        text: '\u2028"\\\0😀\ud800',
        gone: () => {}
      }
      const expected = { date: '1970-01-01T00:00:00.000Z', not: null, list: [null, 1], text: patch.text }
      t.strictSame((await app.sessions.update(session.id, patch))?.data, expected)
      await assertSeen(t, token, expected)
    })

    t.test('data has at most 4 096 bytes of JSON in UTF-8', async (t) => {
      for (const character of ['x', 'é', '€', '😀', '"']) {
        const { session } = await open()
        const perCharacter = Buffer.byteLength(JSON.stringify(character)) - 2
        const room = MAX_BYTES - '{"a":""}'.length
        const text = character.repeat(Math.floor(room / perCharacter)) + 'x'.repeat(room % perCharacter)
        t.equal(Buffer.byteLength(JSON.stringify({ a: text })), MAX_BYTES)
        await t.rejects(app.sessions.update(session.id, { a: `${text}x` }), INVALID)
        t.strictSame((await app.sessions.update(session.id, { a: text }))?.data, { a: text })
        await t.rejects(
          app.sessions.update(session.id, { b: 1 }),
          INVALID,
          'the limit counts all data, not only the patch'
        )
        t.strictSame((await other.sessions.find(session.id))?.data, { a: text }, 'a rejected update changes nothing')
        t.strictSame((await app.sessions.update(session.id, { a: undefined, b: text }))?.data, { b: text })
      }
    })

    t.test('update() rejects values that JSON cannot represent', async (t) => {
      const { session } = await open()
      await app.sessions.update(session.id, { a: 1 })
      for (const [what, patch] of Object.entries(HOSTILE)) {
        await t.rejects(app.sessions.update(session.id, patch as Patch), INVALID, what)
      }
      await t.rejects(app.sessions.update(session.id, [] as never), InvalidDataError)
      t.strictSame((await other.sessions.find(session.id))?.data, { a: 1 })
    })

    t.test('toJSON() in a patch does not replace other fields', async (t) => {
      const { session } = await open()
      await app.sessions.update(session.id, { a: 1 })
      await app.sessions.update(session.id, { b: 2, toJSON: () => ({ c: 3 }) }).catch(() => {})
      t.equal((await other.sessions.find(session.id))?.data.a, 1, 'a field outside the patch is unchanged')
    })

    t.test('data pollutes no prototype, and a patch may be an object without a prototype', async (t) => {
      const { token, session } = await open()
      const poison = '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}},"toString":"x","a":1}'
      await app.sessions.update(session.id, JSON.parse(poison))
      const found = (await other.sessions.find(session.id)) as Session
      const data = await seen(token, ({ a }) => a === 1)
      t.equal(data.a, 1)
      for (const value of [{}, found, found.data, data]) t.notHas(value, { admin: true })
      t.equal(Object.getPrototypeOf(found.data), Object.prototype)
      t.equal(found.data.a, 1)
      await app.sessions.update(session.id, Object.assign(Object.create(null), { b: 2 }))
      t.equal((await other.sessions.find(session.id))?.data.b, 2)
    })

    t.test('200 simultaneous updates on two instances are all stored', async (t) => {
      const { token, session } = await open()
      const updates = Array.from({ length: 200 }, (_, n) => {
        if (n % 3 > 0) return (n % 2 ? app : other).sessions.update(session.id, { [n]: n })
        return app.inject(withToken(token, { method: 'POST', url: '/data', payload: { [n]: n } }))
      })
      t.ok((await Promise.all(updates)).every(Boolean))
      await assertSeen(t, token, Object.fromEntries(updates.map((_, n) => [n, n])))
    })

    t.test('the data ends with the session, and update() returns null', async (t) => {
      const { token, session } = await open()
      await app.sessions.update(session.id, { a: 1 })
      await other.sessions.revoke(session.id)
      t.equal(await app.sessions.update(session.id, { b: 1 }), null)
      t.strictSame(await store.find(session.id), { ended: 'revoked' })
      t.equal((await app.inject(withToken(token, { url: '/data' }))).json().reason, 'revoked')
      t.strictSame((await open()).session.data, {}, 'a new session has no data')
    })
  })
}

t.test(
  'updates of a session are queued in an instance: each update calls the store twice, for any number of updates',
  async (t) => {
    const memory = createMemoryStore()
    let calls = 0
    const counted =
      <Args extends unknown[], Result>(operation: (...args: Args) => Result) =>
      (...args: Args) => {
        calls++
        return operation(...args)
      }
    const store = { ...memory, find: counted(memory.find), replace: counted(memory.replace) }
    const app = await createDataApp(t, { store })
    const { session } = await app.sessions.create({ id: 'ada' })
    const patches = Array.from({ length: 100 }, (_, n) => ({ [n]: n, last: n }))
    const updated = await Promise.all(patches.map((patch) => app.sessions.update(session.id, patch)))
    t.strictSame(
      updated.map((session) => session?.data.last),
      patches.map(({ last }) => last),
      'updates run in the order of the calls'
    )
    t.equal(calls, 200)
    const others = Array.from({ length: 3 }, (_, n) =>
      app.sessions.update(session.id, { n: n === 1 ? 'x'.repeat(5_000) : n })
    )
    const outcomes = await Promise.allSettled(others)
    t.match(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
      'a failed update blocks no later update'
    )
  }
)

t.test('an update does not extend a session', async (t) => {
  const app = await createDataApp(t, { store: createMemoryStore(), session: { idleTimeoutSeconds: 60 } })
  const { token, session } = await app.sessions.create({ id: 'ada' })
  const clock = t.intercept(Date, 'now', { value: () => session.createdAt + 59_999 })
  t.strictSame(await app.sessions.update(session.id, { a: 1 }), { ...session, data: { a: 1 } })
  clock.restore()
  t.intercept(Date, 'now', { value: () => session.createdAt + 60_000 })
  t.equal(await app.sessions.find(session.id), null)
  t.equal(await app.sessions.update(session.id, { a: 2 }), null)
  t.equal((await app.inject(withToken(token, { url: '/data' }))).json().reason, 'expired')
})

/** An app whose first writes lose: another instance writes before, and optionally after, each of these writes. */
async function createUnluckyApp(t: Test, before: (n: number) => Patch, after?: (n: number) => Patch) {
  const memory = createMemoryStore()
  // A thousand conflicts take time on a busy machine.
  const storeTimeoutMs = 20_000
  const rival = await createDataApp(t, { store: memory, storeTimeoutMs })
  const luck = { losses: 0, tries: 0 }
  const replace: SessionStore['replace'] = async (id, ...rest) => {
    const loses = luck.tries++ < luck.losses
    if (loses) await rival.sessions.update(id, before(luck.tries))
    const isDone = await memory.replace(id, ...rest)
    if (loses && after) await rival.sessions.update(id, after(luck.tries))
    return isDone
  }
  return { app: await createDataApp(t, { store: { ...memory, replace }, storeTimeoutMs }), luck }
}

t.test('an update that loses to other updates succeeds in the end, or fails after 1,000 attempts', async (t) => {
  const { app, luck } = await createUnluckyApp(t, (n) => ({ n }))
  const { token, session } = await app.sessions.create({ id: 'ada' })
  luck.losses = 999
  t.strictSame((await app.sessions.update(session.id, { a: 1 }))?.data, { a: 1, n: 999 })
  t.equal(luck.tries, 1_000)

  Object.assign(luck, { losses: Number.POSITIVE_INFINITY, tries: 0 })
  const unavailable = { name: 'StoreUnavailableError', code: 'FST_JWT_SESSION_STORE_UNAVAILABLE', statusCode: 503 }
  await t.rejects(app.sessions.update(session.id, { a: 2 }), unavailable)
  t.equal(luck.tries, 1_000)
  const answer = await app.inject(withToken(token, { method: 'POST', url: '/data', payload: { a: 2 } }))
  t.match(answer.json(), { statusCode: 503, code: unavailable.code })
  t.equal((await app.sessions.find(session.id))?.data.a, 1)
})

t.test('an update that loses to a change and to the reversal of the change still succeeds', async (t) => {
  const { app, luck } = await createUnluckyApp(
    t,
    () => ({ flag: true }),
    () => ({ flag: undefined })
  )
  const { session } = await app.sessions.create({ id: 'ada' })
  luck.losses = 2
  t.strictSame((await app.sessions.update(session.id, { a: 1 }))?.data, { a: 1 })
})
