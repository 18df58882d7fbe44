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

/** Logs in, uses the session and logs out in a loop, over keep-alive connections, until the app closes. */
function startLoad(port: number): Load {
  const load: Load = { answers: 0, outcomes: new Map(), done: Promise.resolve() }
  load.done = Promise.all(Array.from({ length: CLIENTS }, () => useUntilClosed(new KeepAliveClient(port), load)))
  return load
}

async function useUntilClosed(client: KeepAliveClient, load: Load): Promise<void> {
  const send = async (name: string, request: string): Promise<Outcome> => {
    const outcome = await client.send(request)
    const result = `${name} ${typeof outcome === 'string' ? outcome : outcome.status}`
    load.outcomes.set(result, (load.outcomes.get(result) ?? 0) + 1)
    load.answers++
    return outcome
  }
  while (!client.isClosed) {
    const login = await send('login', LOGIN)
    const token = typeof login === 'string' ? '' : tokenOf(login)
    if (token === '') continue
    for (let i = 0; i < 5 && !client.isClosed; i++) await send('verify', rawRequest('GET', '/me', { token }))
    if (!client.isClosed) await send('logout', rawRequest('POST', '/user/logout', { token }))
  }
}

async function listen(app: FastifyInstance): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}

/** The kinds of resources that keep the process alive; pipes include the servers of the test. */
function resources(): string[] {
  return process.getActiveResourcesInfo().sort()
}

/** The resources that are not known, or more frequent than known. */
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
    `app.close() under load, ${cache ? 'with' : 'without'} the cache, breaks no reply and leaves no resources`,
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
        t.equal(cutOff, 0, 'every request gets a complete reply')
        t.strictSame(
          [...load.outcomes.keys()].filter((outcome) => !ALLOWED.test(outcome)),
          [],
          'every outcome is allowed'
        )
        await until(() => upstream.sockets.size === 0)
        // The first round shows the resources of the test.
        before ??= resources()
        const known = before
        await until(() => besides(known, resources()).length === 0)
        t.strictSame(besides(known, resources()), [], 'no further resources are open')
      }
      t.equal(await connectionsOf(redis, t), 1, 'only the connection of the check is open')
    }
  )
}

const TIMEOUT_MS = 1_000

for (const [name, answer, status] of [
  ['answers', goodLogin('ada'), 200],
  ['hangs', null, 504]
] as const) {
  t.test(
    `a login whose upstream ${name} is answered during app.close(), and app.close() waits only for the reply`,
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
      // The client keeps the connection open without another request.
      await closed
      t.ok(performance.now() - startedAt < TIMEOUT_MS + 1_000)
      await until(() => upstream.sockets.size === 0)
    }
  )
}
