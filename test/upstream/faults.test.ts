import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createApp } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import {
  goodLogin,
  type RawAnswer,
  type RawRequest,
  type RawUpstream,
  response,
  startRawUpstream
} from '../fixtures/raw-upstream.js'
import { endlessly } from '../fixtures/tcp-answers.js'
import { until } from '../fixtures/until.js'

const INVALID = { statusCode: 502, code: 'FST_JWT_SESSION_UPSTREAM_INVALID' }
const CANARY = 'upstream-only'
const LOGIN = postJson('/user/login', CREDENTIALS)

const USER = '{"user":{"id":"eve"}}'
const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n'

/** Writes the bytes and ends the connection. */
const thenEnd = (bytes: string) => (socket: Socket) => socket.end(bytes)

/** Writes the bytes, and resets the connection after a pause for the reader. */
const thenReset = (bytes: string) => (socket: Socket) =>
  socket.write(bytes, () => setImmediate(() => socket.resetAndDestroy()))

const FAULTS: Record<string, RawAnswer> = {
  'a reset before a byte is answered': (socket) => socket.resetAndDestroy(),
  'a connection closed before a byte is answered': (socket) => socket.end(),
  'a reset within the status line': thenReset('HTTP/1.1 20'),
  'a reset within the headers': thenReset(`${HEAD}x-a: ${CANARY}`),
  'a reset within the body': thenReset(`${HEAD}content-length: 21\r\n\r\n{"user":`),
  'a reset within a chunk': thenReset(`${HEAD}transfer-encoding: chunked\r\n\r\n15\r\n{"user":`),
  'a reset after a whole user without the end of the body': thenReset(
    `${HEAD}transfer-encoding: chunked\r\n\r\n15\r\n${USER}\r\n`
  ),
  'an end within the headers': thenEnd(`${HEAD}content-le`),
  'an end within the body': thenEnd(`${HEAD}content-length: 21\r\n\r\n{"user":`),
  'an end within a body without a length': thenEnd(`${HEAD}connection: close\r\n\r\n{"user":`),
  'a body shorter than its content-length': thenEnd(`${HEAD}content-length: 22\r\n\r\n${USER}`),
  'a body shorter than its content-length, and closing': thenEnd(
    `${HEAD}connection: close\r\ncontent-length: 22\r\n\r\n${USER}`
  ),
  'a body longer than its content-length': `${HEAD}content-length: 20\r\n\r\n${USER}`,
  'two lengths': `${HEAD}content-length: 21\r\ncontent-length: 20\r\n\r\n${USER}`,
  'a length and chunks': `${HEAD}content-length: 21\r\ntransfer-encoding: chunked\r\n\r\n15\r\n${USER}\r\n0\r\n\r\n`,
  'a negative length': `${HEAD}content-length: -21\r\n\r\n${USER}`,
  'a chunk of no size': `${HEAD}transfer-encoding: chunked\r\n\r\nxyz\r\n${USER}\r\n0\r\n\r\n`,
  'a greeting of another protocol': `220 ${CANARY} ESMTP\r\n`,
  'a TLS alert': '\x15\x03\x01\x00\x02\x02\x28',
  'a request instead of an answer': `GET /${CANARY} HTTP/1.1\r\nhost: x\r\n\r\n`,
  'bytes that mean nothing': Buffer.alloc(5_000, 0xfe),
  'HTTP/0.9': USER,
  'a status of two digits': `HTTP/1.1 20\r\ncontent-length: 21\r\n\r\n${USER}`,
  'a header with a NUL': `${HEAD}x-a: \0\r\ncontent-length: 21\r\n\r\n${USER}`,
  'a header without a name': `${HEAD}: ${CANARY}\r\ncontent-length: 21\r\n\r\n${USER}`,
  'a header of 100 KB': `${HEAD}x-a: ${'x'.repeat(100_000)}\r\ncontent-length: 21\r\n\r\n${USER}`,
  'headers without end': endlessly(HEAD, `x-a: ${'x'.repeat(500)}\r\n`),
  'a huge body': response(200, USER.padEnd(1_000_000, ' ')),
  'a huge body in chunks': response(200, `f4240\r\n${USER.padEnd(1_000_000, ' ')}\r\n0\r\n\r\n`, [
    'transfer-encoding: chunked'
  ]),
  'a body without end': endlessly(`${HEAD}connection: close\r\n\r\n${USER}`, ' '.repeat(10_000)),
  'chunks without end': endlessly(`${HEAD}transfer-encoding: chunked\r\n\r\n`, `3e8\r\n${' '.repeat(1_000)}\r\n`),
  'trailers without end': endlessly(
    `${HEAD}transfer-encoding: chunked\r\n\r\n15\r\n${USER}\r\n0\r\n`,
    `x-a: ${'x'.repeat(500)}\r\n`
  )
}

/** The next login works, and gets the session of the right user. */
async function assertRecovered(t: Test, app: FastifyInstance): Promise<void> {
  const answer = await app.inject(LOGIN)
  t.equal(answer.statusCode, 200, 'the next login works')
  t.strictSame(answer.json().user, { id: CREDENTIALS.username })
}

t.test('a broken response is 502, the upstream is called once, and the next login works', async (t) => {
  const upstream = await startRawUpstream(t)
  const { lines, logger } = createLog()
  const options = { baseUrl: upstream.baseUrl, timeoutMs: 3_000 }
  const app = await createApp(t, { upstream: options }, { logger })
  for (const [name, fault] of Object.entries(FAULTS)) {
    await t.test(name, async (t) => {
      const before = upstream.requests.length
      upstream.answers.push(fault)
      const answer = await app.inject(LOGIN)
      assertRefused(t, answer, INVALID, [CANARY, 'eve'])
      t.equal(upstream.requests.length - before, 1, 'the credentials were sent once')
      const { socket } = upstream.requests.at(-1) as RawRequest
      await until(() => !upstream.sockets.has(socket))
      await assertRecovered(t, app)
    })
  }
  const leaks = [CANARY, CREDENTIALS.password, upstream.baseUrl.slice('http://'.length), '127.0.0.1:', '    at ']
  for (const leak of leaks) {
    t.strictSame(
      lines.filter((line) => line.includes(leak)),
      [],
      `${leak} is not in the log`
    )
  }
})

t.test('an unreachable upstream is 502, and logins work again when the upstream is back', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  await upstream.stop()
  for (const url of ['/user/login', '/user/register'])
    assertRefused(t, await app.inject(postJson(url, CREDENTIALS)), INVALID)
  await upstream.start()
  await assertRecovered(t, app)
  await upstream.stop()
  await upstream.start()
  await assertRecovered(t, app)
  t.equal(upstream.requests.length, 2)
})

t.test('parallel logins on a failing upstream are all answered, with at most one call each', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const users = Array.from({ length: 60 }, (_, index) => `user-${index}`)
  for (const index of users.keys()) {
    const fault = Object.values(FAULTS)[index % 11]
    upstream.answers.push(index % 3 === 0 && fault !== undefined ? fault : (socket) => socket.write(response(401)))
  }
  const answers = await Promise.all(
    users.map((username) => app.inject(postJson('/user/login', { username, password: 'x' })))
  )
  t.strictSame([...new Set(answers.map(({ statusCode }) => statusCode))].sort(), [401, 502])
  t.strictSame(upstream.requests.map(({ body }) => JSON.parse(body.toString()).username).sort(), users.toSorted())
})

t.test('surplus bytes on a connection do not answer the next login', async (t) => {
  const admin = goodLogin('admin')
  const ways: Record<string, (upstream: RawUpstream) => unknown> = {
    'in one piece with the answer before': (upstream) =>
      upstream.answers.push(Buffer.concat([goodLogin(CREDENTIALS.username), admin])),
    'after an answer whose length was too short': (upstream) =>
      upstream.answers.push(Buffer.concat([goodLogin(CREDENTIALS.username), Buffer.from('junk'), admin])),
    'after a rejection': (upstream) => upstream.answers.push(Buffer.concat([response(401), admin])),
    'after an answer that has no body': (upstream) => upstream.answers.push(Buffer.concat([response(204), admin]))
  }
  for (const [name, prepare] of Object.entries(ways)) {
    await t.test(name, async (t) => {
      const upstream = await startRawUpstream(t)
      const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
      prepare(upstream)
      await app.inject(LOGIN)
      const next = await app.inject(postJson('/user/login', { username: 'bob', password: 'x' }))
      t.strictSame(next.json().user, { id: 'bob' })
      t.equal(upstream.requests.length, 2)
    })
  }

  for (const waits of [true, false]) {
    await t.test(waits ? 'while it was idle' : 'in the moment of the next login', async (t) => {
      const upstream = await startRawUpstream(t)
      const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
      upstream.answers.push(response(200, '{"user":{"id":"ada"}}', ['keep-alive: timeout=600']))
      await app.inject(LOGIN)
      const [socket] = upstream.sockets
      t.ok(socket, 'the connection is open')
      socket?.write(admin)
      if (waits) await until(() => !upstream.sockets.has(socket as Socket))
      const next = await app.inject(postJson('/user/login', { username: 'bob', password: 'x' }))
      t.strictSame(next.json().user, { id: 'bob' })
    })
  }
})
