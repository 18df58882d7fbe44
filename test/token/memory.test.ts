import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { readBearer } from '../../lib/token/bearer.js'
import { readCookie } from '../../lib/token/cookie.js'
import { createApp, logout } from '../fixtures/app.js'
import { listen } from '../fixtures/listen.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Nearly the largest header that Node.js accepts. */
const PADDING = ' '.repeat(15_000)

/** Growth of the used heap during `work`, in bytes. */
async function heapOf(work: () => unknown): Promise<number> {
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  await work()
  collectGarbage()
  return process.memoryUsage().heapUsed - before
}

t.test('a stored token does not retain the spaces in front of the token', async (t) => {
  const stored: (string | null)[] = []
  const grown = await heapOf(() => {
    for (let index = 0; index < 1_000; index++) {
      const authorization = Buffer.from(`Bearer ${PADDING}a-long-token-${index}`).toString('latin1')
      stored.push(readBearer({ headers: { authorization } }))
    }
  })
  t.equal(stored[999], 'a-long-token-999')
  t.ok(grown < 1_000 * 1_000, `${grown} bytes for 1,000 tokens`)
})

t.test('a stored token does not retain the other cookies of the client', async (t) => {
  const stored: (string | null)[] = []
  const grown = await heapOf(() => {
    for (let index = 0; index < 1_000; index++) {
      const header = Buffer.from(`a=${PADDING}; session=a-long-token-${index}; b=1`).toString('latin1')
      stored.push(readCookie(header, 'session'))
    }
  })
  t.equal(stored[999], 'a-long-token-999')
  t.ok(grown < 1_000 * 1_000, `${grown} bytes for 1,000 tokens`)
})

t.test('a cached session does not retain the padding of the header', async (t) => {
  const app = await createApp(t, { redis: await connectRedis(t), cache: true })
  const { origin } = await listen(t, app)
  async function visit(count: number, padding: string): Promise<void> {
    for (let index = 0; index < count; index++) {
      const { token } = await app.sessions.create({ id: `user-${index}` })
      const headers = { authorization: `Bearer ${padding}${token}` }
      const { status } = await fetch(`${origin}/me`, { headers })
      if (status !== 200) t.fail(`answered ${status}`)
    }
  }
  // The first requests allocate memory once.
  await visit(50, '')
  const grown = await heapOf(() => visit(200, PADDING))
  t.ok(grown < 200 * 7_500, `${grown} bytes for 200 sessions`)
})

t.test('a logout with an empty or unset token is 204', async (t) => {
  const app = await createApp(t)
  for (const token of ['null', 'undefined', '', '   ']) {
    t.equal((await app.inject(logout(token))).statusCode, 204, JSON.stringify(token))
  }
})
