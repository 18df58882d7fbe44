import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createApp } from '../fixtures/app.js'
import { KeepAliveClient, type Outcome, rawRequest, tokenOf } from '../fixtures/keep-alive-client.js'
import { PASSWORD } from '../fixtures/planted-secrets.js'
import { goodLogin, startRawUpstream } from '../fixtures/raw-upstream.js'
import { type StartedRedis, startRedis } from '../fixtures/redis/start-redis.js'
import { until } from '../fixtures/until.js'

const TIMES = 20
const CLIENTS = 20
const ANSWERS_BEFORE_CLOSE = 100
const LOGIN = rawRequest('POST', '/user/login', { body: JSON.stringify({ username: 'ada', password: PASSWORD }) })

interface Load {
  answers: number
  outcomes: Map<string, number>
  done: Promise<unknown>
}

/** Logs in, uses the session, logs out, and again, over connections that stay open, until the app closes them. */
function startLoad(port: number): Load {
  const load: Load = { answers: 0, outcomes: new Map(), done: Promise.resolve() }
  load.done = Promise.all(Array.from({ length: CLIENTS }, () => useUntilClosed(new KeepAliveClient(port), load)))
  return load
}

async function useUntilClosed(client: KeepAliveClient, load: Load): Promise<void> {
  const ask = async (name: string, request: string): Promise<Outcome> => {
    const outcome = await client.send(request)
    const result = `${name} ${typeof outcome === 'string' ? outcome : outcome.status}`
    load.outcomes.set(result, (load.outcomes.get(result) ?? 0) + 1)
    load.answers++
    return outcome
  }
  while (!client.isClosed) {
    const login = await ask('login', LOGIN)
    const token = typeof login === 'string' ? '' : tokenOf(login)
    if (token === '') continue
    for (let i = 0; i < 5 && !client.isClosed; i++) await ask('verify', rawRequest('GET', '/me', { token }))
    if (!client.isClosed) await ask('logout', rawRequest('POST', '/user/logout', { token }))
  }
}

async function listen(app: FastifyInstance): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}

/** What keeps this process alive, by kind; pipes are those of the servers that the test has started, too. */
function resources(): string[] {
  return process.getActiveResourcesInfo().sort()
}

/** Those that are not among the known ones, or more often. */
function besides(known: string[], found: string[]): string[] {
  const left = [...known]
  return found.filter((name) => {
    const at = left.indexOf(name)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
}

async function connectionsOf(redis: StartedRedis, t: Test): Promise<number> {
  const client = redis.client()
  t.teardown(() => client.disconnect())
  return String(await client.client('LIST'))
    .trim()
    .split('\n').length
}

const ALLOWED = /^(?:login (?:200|503)|verify (?:200|503)|logout (?:204|503)|\w+ closed)$/

for (const cache of [false, true]) {
  t.test(
    `app.close() under load, ${cache ? 'with' : 'without'} the cache, breaks no answer and leaves nothing`,
    async (t) => {
      const redis = await startRedis(t)
      const upstream = await startRawUpstream(t)
      let before: string[] | undefined
      for (let time = 0; time < TIMES / 2; time++) {
        const app = await createApp(t, {
          redis: { url: redis.socketPath },
          cache,
          upstream: { baseUrl: upstream.baseUrl }
        })
        let cutOff = 0
        app.server.on('request', (_request, response) =>
          response.once('close', () => {
            if (!response.writableFinished) cutOff++
          })
        )
        const load = startLoad(await listen(app))
        await until(() => load.answers > ANSWERS_BEFORE_CLOSE)

        const startedAt = performance.now()
        await app.close()
        const ms = performance.now() - startedAt
        await load.done
        t.ok(ms < 2_000, `closed within ${ms.toFixed()} ms`)
        t.equal(cutOff, 0, 'no request that has arrived is left without its answer')
        t.strictSame(
          [...load.outcomes.keys()].filter((outcome) => !ALLOWED.test(outcome)),
          [],
          'every answer is whole'
        )
        await until(() => upstream.sockets.size === 0)
        // The first one is there to see what the test itself has open.
        before ??= resources()
        const known = before
        await until(() => besides(known, resources()).length === 0)
        t.strictSame(besides(known, resources()), [], 'nothing is left')
      }
      t.equal(await connectionsOf(redis, t), 1, 'no connection to Redis but that of the question')
    }
  )
}

const TIMEOUT_MS = 1_000

for (const [name, answer, status] of [
  ['answers', goodLogin('ada'), 200],
  ['hangs', null, 504]
] as const) {
  t.test(
    `a login whose upstream ${name} is answered whole during app.close(), which waits for nothing else`,
    async (t) => {
      const upstream = await startRawUpstream(t)
      const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, timeoutMs: TIMEOUT_MS } })
      const client = new KeepAliveClient(await listen(app))
      t.teardown(() => client.close())
      upstream.answers.push(() => {})
      const login = client.send(LOGIN)
      await until(() => upstream.requests.length === 1)

      const startedAt = performance.now()
      const closed = app.close()
      if (answer !== null) upstream.requests[0]?.socket.write(answer)
      t.match(await login, { status })
      // The client keeps its connection, and says nothing more.
      await closed
      t.ok(performance.now() - startedAt < TIMEOUT_MS + 1_000)
      await until(() => upstream.sockets.size === 0)
    }
  )
}
