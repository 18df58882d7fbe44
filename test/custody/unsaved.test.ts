import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { UnsavedTokens } from '../../lib/custody/unsaved-tokens.js'
import { StoreUnavailableError } from '../../lib/index.js'
import { logIn, logout } from '../fixtures/app.js'
import { createCustodyApp, numberOf, setClockAhead } from '../fixtures/custody-app.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { startTokenUpstream } from '../fixtures/token-upstream.js'
import { until } from '../fixtures/until.js'

t.test('Redis that stalls between the refresh and its storage loses nothing', async (t) => {
  const redis = await startRedis(t)
  const upstream = await startTokenUpstream(t)
  const options = { storeTimeoutMs: 200, cache: true, upstream: { timeoutMs: 3_000 } }
  const [app, other] = [
    await createCustodyApp(t, upstream, { redis: redis.client(), ...options }),
    await createCustodyApp(t, upstream, { redis: redis.client(), ...options })
  ]
  const token = await logIn(app)
  upstream.onRefresh = () => {
    redis.stall()
    return false
  }
  t.equal(await numberOf(app, token), 1)
  t.equal(await numberOf(app, token, 1), 2, 'the request gets its token')
  await until(async () => (await numberOf(app, token, 1)) === 2)
  redis.resume()
  upstream.onRefresh = () => false
  // Another process asks for the same tokens.
  await until(async () => (await numberOf(other, token, 1)) === 2)
  t.strictSame(upstream.refreshes, ['ada:1'])
  t.equal(await numberOf(app, token, 2), 3)
  t.equal(await numberOf(other, token, 2), 3)
})

const session = { id: 'x'.repeat(38), expiresAt: Date.now() + 3_600_000 }
const tokens = { accessToken: 'a', refreshToken: 'r', receivedAt: 0, expiresAt: null }
const refreshed = { session, former: 'former', next: 'next', tokens }
const down = () => Promise.reject(new StoreUnavailableError())
const log = { error() {} }

/** A store of one text, which may be down. */
function createText(text: string | null) {
  const place = {
    text,
    isDown: false,
    losesReply: false,
    writes: 0,
    async readTokens() {
      return place.isDown ? down() : place.text
    },
    async writeTokens(_id: string, next: string, previous: string | null) {
      if (place.isDown) return down()
      place.writes++
      if (place.text !== previous) return false
      place.text = next
      return place.losesReply ? down() : true
    }
  }
  return place
}

t.test(
  'the result of a refresh is stored under any lock, once, in the place of the box that was refreshed',
  async (t) => {
    for (const [text, outcome, after] of [
      ['former', 'stored', 'next'],
      ['mine|former', 'stored', 'next'],
      ['other|former', 'stored', 'next'],
      ['next', 'stored', 'next'],
      ['newer', 'void', 'newer'],
      ['other|newer', 'void', 'other|newer'],
      ['other|next', 'void', 'other|next'],
      [null, 'void', null]
    ] as const) {
      const store = createText(text)
      const unsaved = new UnsavedTokens({ store, log })
      t.equal(await unsaved.save(refreshed), outcome, `${text}`)
      t.equal(store.text, after)
      t.equal(unsaved.tokensOf(session.id), undefined)
    }
  }
)

t.test('a result that cannot be stored is kept, and stored as soon as it can be', async (t) => {
  const store = createText('lock|former')
  store.isDown = true
  const unsaved = new UnsavedTokens({ store, log })
  t.equal(await unsaved.save(refreshed), 'kept')
  t.equal(unsaved.tokensOf(session.id), tokens)
  await t.rejects(unsaved.flush(session.id), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
  await delay(120)
  store.isDown = false
  await until(() => unsaved.tokensOf(session.id) === undefined)
  t.equal(store.text, 'next')
  await unsaved.flush(session.id)
  t.equal(store.writes, 1)
})

t.test('a write whose reply was lost is found, and not written again', async (t) => {
  const store = createText('lock|former')
  store.losesReply = true
  const unsaved = new UnsavedTokens({ store, log })
  t.equal(await unsaved.save(refreshed), 'kept')
  await until(() => unsaved.tokensOf(session.id) === undefined)
  t.equal(store.writes, 1)
})

t.test('a store in which the lock changes before every write is as good as down', async (t) => {
  const store = createText('0|former')
  let locks = 0
  const busy = {
    readTokens: store.readTokens,
    async writeTokens(id: string, next: string, previous: string | null) {
      store.text = `${++locks}|former`
      return locks > 10 ? true : store.writeTokens(id, next, previous)
    }
  }
  const unsaved = new UnsavedTokens({ store: busy, log })
  t.equal(await unsaved.save(refreshed), 'kept')
  t.equal(locks, 10)
  await until(() => unsaved.tokensOf(session.id) === undefined)
})

t.test('at the close there is one last try, and then nothing is tried or kept', async (t) => {
  const store = createText('lock|former')
  store.isDown = true
  const [lucky, unlucky] = [new UnsavedTokens({ store, log }), new UnsavedTokens({ store, log })]
  for (const unsaved of [lucky, unlucky]) await unsaved.save(refreshed)
  await unlucky.close()
  t.equal(unlucky.tokensOf(session.id), undefined)
  t.equal(await unlucky.save(refreshed), 'kept')
  t.equal(unlucky.tokensOf(session.id), undefined)
  store.isDown = false
  await lucky.close()
  t.equal(store.text, 'next')
})

t.test('tokens are kept until the session has expired, the newest of a session, and not without a limit', async (t) => {
  const store = createText('former')
  store.isDown = true
  const errors: string[] = []
  const unsaved = new UnsavedTokens({ store, log: { error: (text) => errors.push(text) } })
  const brief = { ...session, id: 'brief', expiresAt: Date.now() + 20 }
  await unsaved.save({ ...refreshed, session: brief })
  t.equal(unsaved.tokensOf('brief'), tokens)
  await until(() => unsaved.tokensOf('brief') === undefined)
  const newer = { ...tokens, accessToken: 'b' }
  await unsaved.save(refreshed)
  await unsaved.save({ ...refreshed, tokens: newer })
  t.equal(unsaved.tokensOf(session.id), newer)
  for (let i = 0; i < 10_000; i++) await unsaved.save({ ...refreshed, session: { ...session, id: `${i}` } })
  t.equal(unsaved.tokensOf(session.id), undefined)
  t.equal(unsaved.tokensOf('9999'), tokens)
  t.match(errors[0], 'some of them are lost')
  await unsaved.close()
})

t.test('while tokens are kept they are used, and refreshed again when they can be stored', async (t) => {
  const redis = await startRedis(t)
  const upstream = await startTokenUpstream(t)
  const app = await createCustodyApp(t, upstream, { redis: redis.client(), storeTimeoutMs: 200, cache: true })
  const token = await logIn(app)
  t.equal(await numberOf(app, token), 1)
  upstream.onRefresh = () => {
    redis.stall()
    return false
  }
  t.equal(await numberOf(app, token, 1), 2)
  const setBack = setClockAhead(t, 580)
  await until(async () => (await numberOf(app, token)) === 2)
  setBack()
  redis.resume()
  upstream.onRefresh = () => false
  await until(async () => (await numberOf(app, token, 2)) === 3)
  t.equal((await app.inject(logout(token))).statusCode, 204)
})

t.test('an app that closes waits for its refresh and stores the result', async (t) => {
  const redis = await startRedis(t)
  const upstream = await startTokenUpstream(t)
  const options = { redis: redis.client() }
  const [app, other] = [await createCustodyApp(t, upstream, options), await createCustodyApp(t, upstream, options)]
  const token = await logIn(app)
  let goOn = () => {}
  upstream.onRefresh = async () => {
    await new Promise<void>((resolve) => {
      goOn = resolve
    })
    return false
  }
  const asking = numberOf(app, token, 1).catch(() => 'closed')
  await until(() => upstream.refreshes.length === 1)
  const waiting = numberOf(other, token, 1)
  await delay(30)
  const closing = [app.close(), other.close()]
  t.equal(await waiting, '503 STORE_UNAVAILABLE', 'an app that closes waits for no other')
  goOn()
  await Promise.all([asking, ...closing])
  const next = await createCustodyApp(t, upstream, options)
  t.equal(await numberOf(next, token, 1), 2)
  t.strictSame(upstream.refreshes, ['ada:1'])
})
