import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { logIn, withToken } from '../fixtures/app.js'
import { createCustodyApp, numberOf } from '../fixtures/custody-app.js'
import { testRounds } from '../fixtures/custody-rounds.js'
import { ACCESS_TOKEN } from '../fixtures/planted-secrets.js'
import { startRedis, type Teardown } from '../fixtures/redis/start-redis.js'
import { startTokenUpstream } from '../fixtures/token-upstream.js'
import { until } from '../fixtures/until.js'
import { unwatched } from '../fixtures/unwatched.js'

const TIMEOUT_MS = 2_000

t.test('1,000 rounds with a refresh due lose nothing, with one refresh each', async (t) => {
  t.setTimeout(900_000)
  await testRounds(t, 1_000, Date.now() % 1_000_000)
})

interface Instance {
  child: ChildProcess
  /** Asks for the access token of a session, of which the token with this number was rejected. */
  ask(token: string, rejected: number): Promise<unknown>
}

async function startInstance(t: Teardown, options: object): Promise<Instance> {
  const file = new URL('custody/app-process.ts', import.meta.url).pathname
  const args = ['--import', import.meta.resolve('tsx'), file, JSON.stringify(options)]
  const [command, commandArgs] = unwatched(process.execPath, ...args)
  const child = spawn(command, commandArgs, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  t.teardown(() => void child.kill('SIGKILL'))
  const [origin] = await once(child, 'message')
  return {
    child,
    async ask(token, rejected) {
      const headers = { authorization: `Bearer ${token}` }
      const url = `${origin}/token?rejected=${encodeURIComponent(`${ACCESS_TOKEN}:ada:${rejected}`)}`
      const response = await fetch(url, { headers }).catch(() => null)
      return response === null ? 'no answer' : response.status
    }
  }
}

/** An app of this process, and one of its own that a test may stop, on the same Redis. */
async function createScene(t: Test) {
  const redis = await startRedis(t, { tcp: true })
  const upstream = await startTokenUpstream(t)
  const app = await createCustodyApp(t, upstream, { redis: redis.client(), upstream: { timeoutMs: TIMEOUT_MS } })
  const other = await startInstance(t, {
    redis: { url: redis.url },
    baseUrl: upstream.baseUrl,
    timeoutMs: TIMEOUT_MS
  })
  return { upstream, app, other, token: await logIn(app), bystander: await logIn(app, 'bob') }
}

t.test('a process that is killed before the upstream has answered costs nothing', async (t) => {
  const { upstream, app, other, token } = await createScene(t)
  upstream.onRefresh = () => true
  const asking = other.ask(token, 1)
  await until(() => upstream.refreshes.length === 1)
  other.child.kill('SIGKILL')
  t.equal(await asking, 'no answer')
  upstream.onRefresh = () => false
  t.equal(await numberOf(app, token), 1, 'the token that is still good needs no lock')
  t.equal(await numberOf(app, token, 1), 2)
})

t.test(
  'a process that is killed after the upstream has made the refresh token invalid costs that login alone',
  async (t) => {
    const { upstream, app, other, token, bystander } = await createScene(t)
    upstream.onRefresh = () => {
      other.child.kill('SIGKILL')
      return false
    }
    t.equal(await other.ask(token, 1), 'no answer')
    t.strictSame(upstream.accepted, ['ada:1'])
    upstream.onRefresh = () => false
    t.equal(await numberOf(app, token, 1), '401 LOGIN_NEEDED')
    t.equal((await app.inject(withToken(token))).statusCode, 200, 'the session lives')
    t.equal(await numberOf(app, bystander, 1), 2, 'the other users are not concerned')
    t.equal(await numberOf(app, await logIn(app)), 3, 'a login helps')
  }
)

t.test('a process that is stopped while the upstream answers stores the tokens later', async (t) => {
  const { upstream, app, other, token } = await createScene(t)
  upstream.onRefresh = () => {
    other.child.kill('SIGSTOP')
    return false
  }
  const asking = other.ask(token, 1)
  await until(() => upstream.accepted.length === 1)
  upstream.onRefresh = () => false
  t.equal(await numberOf(app, token, 1), '401 LOGIN_NEEDED', 'after the lock was taken over')
  t.strictSame(upstream.refreshes, ['ada:1', 'ada:1'])
  other.child.kill('SIGCONT')
  t.equal(await asking, 200)
  t.equal(await numberOf(app, token, 1), 2, 'nothing is lost')
})
