import t, { type Test } from 'tap'
import { RegistrationRejectedError, UpstreamInvalidError } from '../../lib/index.js'
import type { HttpUpstreamOptions } from '../../lib/options/upstream-options.js'
import { createApp } from '../fixtures/app.js'
import { listen } from '../fixtures/listen.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { type RawAnswer, response, startRawUpstream } from '../fixtures/raw-upstream.js'
import { drip, endlessly } from '../fixtures/tcp-answers.js'

const HEAD = 'HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n'
const CREATED = response(201, '{"user":{"id":"ada"}}')
const REGISTER = postJson('/user/register', CREDENTIALS)
const REJECTED = { statusCode: 409, code: 'FST_JWT_SESSION_REGISTRATION_REJECTED' }

async function start(t: Test, options: Partial<HttpUpstreamOptions> = {}) {
  const upstream = await startRawUpstream(t)
  const { lines, logger } = createLog()
  const settings = { baseUrl: upstream.baseUrl, timeoutMs: 1_000, maxResponseBytes: 1_000, ...options }
  const app = await createApp(t, { upstream: settings }, { logger })
  await listen(t, app)
  return { upstream, app, lines }
}

const UNUSABLE: Record<string, RawAnswer> = {
  'no body': response(204),
  'an empty body': response(201),
  'a body that is not JSON': response(200, '<p>Welcome</p>'),
  'a body without a user': response(200, '{"ok":true}'),
  'a null': response(200, 'null'),
  'a body that is too large': response(200, '{"user":{"id":"ada"}}'.padEnd(2_000)),
  'a body without end': endlessly(`${HEAD}transfer-encoding: chunked\r\n\r\n`, `3e8\r\n${' '.repeat(1_000)}\r\n`),
  'a body that does not come': `${HEAD}content-length: 21\r\n\r\n`,
  'half a body': `${HEAD}content-length: 21\r\n\r\n{"user":`,
  'a body that drips': drip(`${HEAD}content-length: 999\r\n\r\n`, ' '),
  'a body that is cut off': (socket) => socket.end(`${HEAD}content-length: 21\r\n\r\n{"user":`),
  'a body that is reset': (socket) =>
    socket.write(`${HEAD}content-length: 21\r\n\r\n{`, () => setImmediate(() => socket.resetAndDestroy()))
}

t.test('a registration that the upstream answers 2xx is 201, whatever the body is', async (t) => {
  const { app, upstream } = await start(t)
  for (const [name, answer] of Object.entries(UNUSABLE)) {
    upstream.answers.push(answer)
    const { statusCode, body } = await app.inject(REGISTER)
    t.strictSame([statusCode, JSON.parse(body)], [201, { user: {} }], name)
  }
  t.equal(upstream.requests.length, Object.keys(UNUSABLE).length, 'the upstream was called once per registration')
  t.strictSame((await app.inject(REGISTER)).json(), { user: { id: 'ada' } }, 'the circuit stays closed')
})

t.test('a registration is 201 although selectUser fails or hangs', async (t) => {
  const selects: Record<string, () => unknown> = {
    throws() {
      throw new Error('a-secret')
    },
    rejects: async () => Promise.reject(new TypeError('a-secret')),
    hangs: () => new Promise(() => {})
  }
  for (const [name, selectUser] of Object.entries(selects)) {
    const { app, upstream, lines } = await start(t, { selectUser })
    upstream.answers.push(CREATED)
    const answer = await app.inject(REGISTER)
    t.strictSame([answer.statusCode, answer.json()], [201, { user: {} }], name)
    t.notMatch(lines.join(), 'a-secret')
  }
})

t.test('a failed mapError is 502 for a response with JSON, and 201 for a 2xx without JSON', async (t) => {
  for (const mapError of [
    () => {
      throw new TypeError('a-secret')
    },
    () => 'a-secret' as never,
    (async () => Promise.reject(new TypeError('a-secret'))) as never
  ]) {
    const { app, upstream, lines } = await start(t, { mapError })
    for (const [answer, statusCode] of [
      [CREATED, 502],
      [response(409), 502],
      [response(201), 201],
      [response(201, ' '.repeat(2_000)), 201]
    ] as const) {
      upstream.answers.push(answer)
      t.equal((await app.inject(REGISTER)).statusCode, statusCode)
    }
    t.equal(lines.filter((line) => /"cause":"register: `mapError` (?:threw|did not return)/.test(line)).length, 4)
    t.notMatch(lines.join(), 'a-secret')
  }
})

t.test('a rejection with too long details is 502, and not 201', async (t) => {
  const refuse = (body: { success: boolean }) => {
    if (!body.success) throw new RegistrationRejectedError(422, { details: 'x'.repeat(5_000) })
  }
  for (const way of [
    { mapError: ({ body }: { body: { success: boolean } }) => refuse(body) as undefined },
    { selectUser: refuse }
  ]) {
    const { app, upstream } = await start(t, way)
    upstream.answers.push(response(200, '{"success":false}'))
    t.equal((await app.inject(REGISTER)).statusCode, 502)
  }
})

t.test('mapError and selectUser can reject a registration that the upstream answered 2xx', async (t) => {
  const reject = (body: { success?: boolean } | undefined) =>
    body?.success === false ? new RegistrationRejectedError(409) : undefined
  const ways: Partial<HttpUpstreamOptions>[] = [
    { mapError: ({ body }) => reject(body) },
    {
      mapError: ({ body }) => {
        const error = reject(body)
        if (error) throw error
        return undefined
      }
    },
    { selectUser: (body) => reject(body) ?? body.user },
    { selectUser: async (body) => reject(body) ?? body.user },
    {
      selectUser: async (body) => {
        throw reject(body) ?? new Error('no')
      }
    }
  ]
  for (const way of ways) {
    const { app, upstream } = await start(t, way)
    upstream.answers.push(response(200, '{"success":false}'))
    t.match((await app.inject(REGISTER)).json(), REJECTED)
    upstream.answers.push(CREATED)
    t.equal((await app.inject(REGISTER)).statusCode, 201)
  }
})

t.test('mapError can reject by status, also when the body is late or broken', async (t) => {
  const statuses: unknown[] = []
  const mapError: HttpUpstreamOptions['mapError'] = ({ operation, status, body }) => {
    statuses.push([operation, status, body])
    return status === 202 ? new RegistrationRejectedError(409) : undefined
  }
  const { app, upstream } = await start(t, { mapError })
  const late = 'HTTP/1.1 202 Accepted\r\ncontent-length: 21\r\n\r\n'
  for (const answer of [late, response(202), response(202, '<p>'), response(202, ' '.repeat(5_000))]) {
    upstream.answers.push(answer)
    t.match((await app.inject(REGISTER)).json(), REJECTED)
  }
  t.strictSame(
    statuses,
    Array.from({ length: 4 }, () => ['register', 202, undefined])
  )
})

t.test('a 5xx error of mapError is the reply to a 2xx of the upstream', async (t) => {
  const { app, upstream } = await start(t, { mapError: () => new UpstreamInvalidError() })
  upstream.answers.push(CREATED)
  t.equal((await app.inject(REGISTER)).statusCode, 502)
})

t.test(
  'a registration that the upstream has rejected is never 201, however late mapError or the body is',
  async (t) => {
    const upstream = await startRawUpstream(t)
    const start = (mapError: () => undefined) =>
      createApp(t, { upstream: { baseUrl: upstream.baseUrl, timeoutMs: 1_000, mapError } })

    const hanging = await start(() => new Promise(() => {}) as never)
    upstream.answers.push(response(409, '{}'))
    t.equal((await hanging.inject(REGISTER)).statusCode, 504)

    const deciding = await start(() => undefined)
    upstream.answers.push('HTTP/1.1 409 Conflict\r\nContent-Length: 10\r\n\r\n{')
    t.equal((await deciding.inject(REGISTER)).statusCode, 409)
  }
)
