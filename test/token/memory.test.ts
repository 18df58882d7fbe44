import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { TokenMap } from '../../lib/internal/token-lru.js'
import { readBearer } from '../../lib/token/bearer.js'
import { readCookie } from '../../lib/token/cookie.js'
import { createApp, logout } from '../fixtures/app.js'
import { COOKIE } from '../fixtures/cookie-app.js'
import { listen } from '../fixtures/listen.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Nearly the largest header that Node.js accepts. */
const PADDING = ' '.repeat(15_000)

/** The text in one piece, like a text from a socket. */
const received = (text: string) => Buffer.from(text).toString('latin1')

/** Growth of the used heap during `work`, in bytes. */
async function heapOf(work: () => unknown): Promise<number> {
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  await work()
  collectGarbage()
  return process.memoryUsage().heapUsed - before
}

/** Asserts that 1,000 stored tokens retain none of the text from which they were read. */
async function assertNothingElseRetained(t: Test, readToken: (index: number) => string | null): Promise<void> {
  const stored = new TokenMap<number>(1_000)
  const grown = await heapOf(() => {
    for (let index = 1_000; index < 2_000; index++) {
      const token = readToken(index)
      if (token !== `a-long-token-${index}`) t.fail(`read ${token}`)
      else stored.set(token, index)
    }
  })
  t.equal(stored.get('a-long-token-1999')?.value, 1_999)
  t.ok(grown < 1_000 * 1_000, `${grown} bytes for 1,000 tokens`)
}

t.test('a stored token does not retain the spaces in front of the token', async (t) => {
  await assertNothingElseRetained(t, (index) => {
    const authorization = received(`Bearer ${PADDING}a-long-token-${index}`)
    return readBearer({ headers: { authorization } })
  })
})

t.test('a stored token does not retain the other cookies of the client', async (t) => {
  await assertNothingElseRetained(t, (index) => {
    const header = received(`a=${PADDING}; session=a-long-token-${index}; b=1`)
    return readCookie(header, 'session')
  })
})

t.test('a cached session does not retain the text around the token', async (t) => {
  const app = await createApp(t, { redis: await connectRedis(t), cache: true, cookie: {} })
  const { origin } = await listen(t, app)
  async function visit(headers: Record<string, string>): Promise<void> {
    const { status } = await fetch(`${origin}/me`, { headers })
    if (status !== 200) t.fail(`answered ${status}`)
  }
  const ways: Record<string, (token: string, padding: string) => Promise<unknown>> = {
    header: (token, padding) => visit({ authorization: `Bearer ${padding}${token}` }),
    cookie: (token, padding) => visit({ cookie: `a=${padding}; ${COOKIE}=${token}` }),
    // Such as a slice of the URL of a socket.
    verify: (token, padding) => app.sessions.verify(received(padding + token).slice(padding.length))
  }
  for (const [name, way] of Object.entries(ways)) {
    const open = async (count: number, padding: string) => {
      for (let index = 0; index < count; index++) {
        const { token } = await app.sessions.create({ id: `${name}-${padding.length}-${index}` })
        await way(token, padding)
      }
    }
    // The first requests allocate memory once.
    await open(50, '')
    const grown = await heapOf(() => open(200, PADDING))
    t.ok(grown < 200 * 7_500, `${name}: ${grown} bytes for 200 sessions`)
  }
})

t.test('a logout with an empty or unset token is 204', async (t) => {
  const app = await createApp(t)
  for (const token of ['null', 'undefined', '', '   ']) {
    t.equal((await app.inject(logout(token))).statusCode, 204, JSON.stringify(token))
  }
})
