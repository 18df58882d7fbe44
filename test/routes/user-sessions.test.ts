import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { createMemoryStore, type Session, type SessionStore } from '../../lib/index.js'
import { createSessionId } from '../../lib/model/session-id.js'
import { createApp, logIn, logout, withToken } from '../fixtures/app.js'
import { STORES } from '../fixtures/stores.js'
import { createRecordingStore, upstream } from '../fixtures/tokens.js'

const PROTOTYPE_NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf']
const ODD_IDS = [
  ...PROTOTYPE_NAMES,
  ...['a', 'A', 'a:b', 'a:', '*', '?', '[a]', '{x}', '}{', '{}', ' ', 'a ', '0', '00', '-1', 'null', 'undefined'],
  ...['a\r\nDEL b', '\0', 'a\0', '😀', 'é', 'e\u0301', '\u202e', '../a', '$&', '%s', 'x'.repeat(256), 'é'.repeat(256)]
]
const NO_USER_IDS: unknown[] = [
  ...[undefined, null, 1, 0, true, '', 'x'.repeat(257), '\ud800', 'a\udc00', {}, [], ['ada'], Symbol('ada')],
  { toString: () => 'ada' },
  Object('ada')
]
const NO_SESSION_IDS: unknown[] = [
  ...[undefined, null, 1, {}, [], '', 'x', '*', '0', '__proto__', 'x'.repeat(37), 'x'.repeat(39), `${'x'.repeat(37)}*`],
  ...[`${'x'.repeat(38)}\n`, `\n${'x'.repeat(38)}`, `${'x'.repeat(37)}\0`, 'é'.repeat(38), ['x'.repeat(38)]]
]

/** The record that is stored under an id. */
async function recordOf(store: SessionStore, id: string): Promise<string> {
  const found = await store.find(id)
  if (found === null || 'ended' in found) throw new Error('No record')
  return found.record
}

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`the sessions of a user, in the ${name} store`, async (t) => {
    const store = await createStore(t)
    const app = await createApp(t, { store, upstream })
    const other = await createApp(t, { store, upstream })

    async function open(userId: string, count = 1): Promise<Session[]> {
      const opened: Session[] = []
      for (let n = 0; n < count; n++) {
        // A different millisecond for each session: only `createdAt` gives the order.
        const previous = Date.now()
        while (Date.now() === previous) await turn()
        opened.push((await app.sessions.create({ id: userId })).session)
      }
      return opened
    }
    const find = (sessions: Session[]) => Promise.all(sessions.map(({ id }) => other.sessions.find(id)))

    t.test('list() has the sessions as stored, oldest first', async (t) => {
      t.strictSame(await app.sessions.list('unknown'), [])
      const opened = await open('ada', 25)
      t.strictSame(await other.sessions.list('ada'), opened)
      t.strictSame(await find(opened), opened)
      await app.sessions.update(opened[3]?.id as string, { touched: true })
      t.strictSame(
        (await other.sessions.list('ada')).map(({ id }) => id),
        opened.map(({ id }) => id),
        'an update does not change the order'
      )
    })

    t.test('list() has only live sessions', async (t) => {
      const brief = await createApp(t, { store, upstream, session: { ttlSeconds: 60 } })
      const idle = await createApp(t, { store, upstream, session: { idleTimeoutSeconds: 60 } })
      const [one, revoked, corrupt] = (await open('bob', 3)) as [Session, Session, Session]
      const { session: expiring } = await brief.sessions.create({ id: 'bob' })
      const { session: unused } = await idle.sessions.create({ id: 'bob' })
      const [last] = await open('bob')
      await app.inject(logout(await logIn(app, 'bob')))
      await app.sessions.revoke(revoked.id)
      const record = await recordOf(store, corrupt.id)
      await store.replace(corrupt.id, record, `${record.split(' ')[0]} [junk]`)
      t.strictSame(await idle.sessions.list('bob'), [one, expiring, unused, last])

      const { now } = Date
      t.intercept(Date, 'now', { value: () => now() + 60_000 })
      t.strictSame(await app.sessions.list('bob'), [one, unused, last])
      t.strictSame(await idle.sessions.list('bob'), [], 'an idle timeout applies to all sessions at once')
      t.strictSame(await find([revoked, corrupt, expiring, unused]), [null, null, null, unused])
    })

    t.test('sessions belong to one user, whatever characters the id of the user has', async (t) => {
      const byUser = new Map<string, Session[]>()
      for (const id of ODD_IDS) t.strictSame(await app.sessions.list(id), [])
      for (const id of ODD_IDS) byUser.set(id, await open(id, 2))
      for (const [id, opened] of byUser) t.strictSame(await app.sessions.list(id), opened)
      for (const [id, opened] of byUser) {
        await app.sessions.revokeAll(id)
        t.strictSame(await find(opened), [null, null])
        byUser.delete(id)
        for (const rest of byUser.values()) if (!(await find(rest)).every(Boolean)) t.fail(`more than those of ${id}`)
      }
    })

    t.test('revoke() ends one session, on every instance at once', async (t) => {
      const opened = await open('cy', 3)
      await app.sessions.revoke(opened[1]?.id as string)
      await app.sessions.revoke(opened[1]?.id as string)
      t.strictSame(await find(opened), [opened[0], null, opened[2]])
      t.strictSame(await other.sessions.list('cy'), [opened[0], opened[2]])
    })

    t.test('revokeAll() ends all sessions of the user, on every instance at once', async (t) => {
      const token = await logIn(app, 'dan')
      const [opened, [bystander]] = [await open('dan', 2), await open('eve')]
      t.equal(await app.sessions.revokeAll('dan'), undefined)
      t.match((await other.inject(withToken(token))).json(), { reason: 'revoked' })
      t.strictSame(await find(opened), [null, null])
      t.strictSame(await other.sessions.list('dan'), [])
      t.strictSame(await other.sessions.list('eve'), [bystander])
      await app.sessions.revokeAll('dan')
      t.strictSame(await other.sessions.list('dan'), [], 'a second revokeAll() does no harm')
      const [next] = await open('dan')
      t.strictSame(await other.sessions.list('dan'), [next], 'a later session is listed')
    })

    t.test('revokeAll() keeps the session `exceptId`: the first, the middle or the last', async (t) => {
      for (const index of [0, 1, 2]) {
        const opened = await open('flo', 3)
        await app.sessions.revokeAll('flo', { exceptId: opened[index]?.id })
        t.strictSame(await other.sessions.list('flo'), [opened[index]])
        await app.sessions.revokeAll('flo', { exceptId: opened[index]?.id })
        t.strictSame(await other.sessions.list('flo'), [opened[index]], 'a second revokeAll() keeps the session too')
        await app.sessions.revokeAll('flo', { exceptId: undefined })
        t.strictSame(await other.sessions.list('flo'), [])
      }
    })

    t.test('revokeAll() ends all sessions when `exceptId` is not a session of the user', async (t) => {
      const [bystander] = (await open('gus', 1)) as [Session]
      const [ended] = (await open('hal', 1)) as [Session]
      await app.sessions.revoke(ended.id)
      for (const exceptId of [bystander.id, ended.id, createSessionId('hal'), ...NO_SESSION_IDS]) {
        const opened = await open('hal', 2)
        await app.sessions.revokeAll('hal', { exceptId: exceptId as string })
        t.strictSame(await find([...opened, ended]), [null, null, null], String(exceptId))
      }
      t.strictSame(await find([bystander]), [bystander])
    })

    t.test(
      'revokeAll() ends all sessions when `exceptId` joins the tag of another user to the own random part',
      async (t) => {
        const [bystander] = (await open('gus', 1)) as [Session]
        const [own] = (await open('hal', 1)) as [Session]
        await app.sessions.revokeAll('hal', { exceptId: bystander.id.slice(0, 16) + own.id.slice(16) })
        t.strictSame(await find([own, bystander]), [null, bystander])
      }
    )

    t.test('a session is not found by an id that joins parts of the ids of two users', async (t) => {
      const [[mine], [theirs]] = [await open('ivy'), await open('joe')] as [[Session], [Session]]
      const forged = [mine.id.slice(0, 16) + theirs.id.slice(16), theirs.id.slice(0, 16) + mine.id.slice(16)]
      for (const id of [...forged, mine.id.toLowerCase(), createSessionId('ivy')]) {
        t.equal(await app.sessions.find(id), null)
        t.equal(await app.sessions.update(id, { a: 1 }), null)
        await app.sessions.revoke(id)
      }
      t.strictSame(await find([mine, theirs]), [mine, theirs])
    })
  })
}

t.test('a malformed session id finds and ends no session, and never reaches the store', async (t) => {
  const store = createRecordingStore(t)
  const app = await createApp(t, { store, upstream })
  for (const id of NO_SESSION_IDS as string[]) {
    t.equal(await app.sessions.find(id), null)
    t.equal(await app.sessions.update(id, { a: 1 }), null)
    t.equal(await app.sessions.revoke(id), undefined)
  }
  t.strictSame(store.calls, [])
})

t.test('an invalid user id is refused, and never reaches the store', async (t) => {
  const store = createRecordingStore(t)
  const app = await createApp(t, { store, upstream })
  const expected = { code: 'FST_JWT_SESSION_INVALID_USER', statusCode: 500, name: 'InvalidUserError' }
  for (const id of NO_USER_IDS as string[]) {
    await t.rejects(app.sessions.list(id), expected)
    await t.rejects(app.sessions.revokeAll(id), expected)
    await t.rejects(app.sessions.revokeAll(id, { exceptId: createSessionId('ada') }), expected)
  }
  t.strictSame(store.calls, [])
})

t.test('find() and list() write nothing', async (t) => {
  const store = createRecordingStore(t)
  const app = await createApp(t, { store, upstream, session: { idleTimeoutSeconds: 60 } })
  const { session } = await app.sessions.create({ id: 'ada' })
  const { now } = Date
  t.intercept(Date, 'now', { value: () => now() + 30_000 })
  store.calls.length = 0
  t.strictSame(await app.sessions.find(session.id), session)
  t.strictSame(await app.sessions.list('ada'), [session])
  t.strictSame(store.calls, [`find ${session.id}`, `list ${session.id.slice(0, 16)}`])
})

t.test('a session of another user with the same tag that a store hands out is not listed', async (t) => {
  const memory = createMemoryStore()
  const app = await createApp(t, { store: { ...memory, list: async () => everything }, upstream })
  const opened = [await app.sessions.create({ id: 'ada' }), await app.sessions.create({ id: 'bob' })]
  const [mine, theirs] = opened.map(({ session }) => session.id) as [string, string]
  const everything = [
    { id: mine, record: await recordOf(memory, mine) },
    // Simulates a collision: the hashes of both users have the same 96 bits.
    { id: createSessionId('ada'), record: await recordOf(memory, theirs) }
  ]
  t.strictSame(await app.sessions.list('ada'), [opened[0]?.session])
})
