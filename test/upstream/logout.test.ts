import t from 'tap'
import { CredentialsRejectedError, createMemoryStore, type SessionStore, type UpstreamClient } from '../../lib/index.js'
import { createApp, logIn, logout, withToken } from '../fixtures/app.js'
import { createLog } from '../fixtures/log.js'
import { type RawAnswer, response, startRawUpstream } from '../fixtures/raw-upstream.js'

t.test('the upstream is notified of a logout after the session has ended, and cannot fail the logout', async (t) => {
  const upstream = await startRawUpstream(t)
  const memory = createMemoryStore()
  const events: string[] = []
  const store = {
    ...memory,
    async end(...args: Parameters<SessionStore['end']>) {
      const ended = await memory.end(...args)
      events.push('ended')
      return ended
    }
  }
  const { lines, logger } = createLog()
  const options = { baseUrl: upstream.baseUrl, logoutPath: '/user/logout', timeoutMs: 1_000 }
  const app = await createApp(t, { upstream: options, store }, { logger })
  const answers: Record<string, RawAnswer> = {
    good: response(204),
    'good with a body': response(200, 'anything'),
    'a rejection': response(401, 'upstream-only'),
    'an error': response(500, 'upstream-only'),
    'a redirect': response(302, '', ['location: /upstream-only']),
    'a busy one': response(429, '', ['retry-after: 77']),
    'a reset': (socket) => socket.resetAndDestroy(),
    silence: () => {},
    'a body without end': response(200, 'x', ['content-length: 999'])
  }
  for (const [name, answer] of Object.entries(answers)) {
    const token = await logIn(app)
    events.length = 0
    upstream.answers.push((socket) => {
      events.push('notified')
      if (typeof answer === 'function') answer(socket)
      else socket.write(answer)
    })
    const ended = await app.inject(logout(token))
    t.equal(ended.statusCode, 204, name)
    t.equal(ended.body, '')
    t.equal(ended.headers['session-ended'], 'logged_out')
    t.notOk(ended.headers['retry-after'] ?? ended.headers.location)
    t.strictSame(events, ['ended', 'notified'])
    const { requestLine, body, headers } = upstream.requests.at(-1) ?? {}
    t.strictSame([requestLine, body?.toString()], ['POST /user/logout HTTP/1.1', '{"user":{"id":"ada"}}'])
    t.notMatch(JSON.stringify(headers), token)
    t.equal((await app.inject(withToken(token))).statusCode, 401)
  }
  const notified = upstream.requests.length
  t.equal((await app.inject(logout('garbage'))).statusCode, 204)
  t.equal(upstream.requests.length, notified, 'without a session the upstream is not notified')
  t.equal(lines.filter((line) => line.includes('upstream was not notified of a logout')).length, 6)
  t.strictSame(
    lines.filter((line) => line.includes('upstream-only')),
    []
  )
})

t.test('an UpstreamClient is notified of a logout with the session, and may fail', async (t) => {
  const notified: unknown[] = []
  let fail: () => unknown = () => {}
  const upstream: UpstreamClient = {
    login: async () => ({ user: { id: 'ada', name: 'Ada' } }),
    async logout(session, context) {
      notified.push(session, context.signal.aborted, context.ip)
      return fail()
    }
  }
  const { lines, logger } = createLog()
  const app = await createApp(t, { upstream }, { logger })
  for (const thrown of [undefined, new Error('upstream-only'), new CredentialsRejectedError(), 'upstream-only', null]) {
    fail = () => {
      if (thrown !== undefined) throw thrown
    }
    notified.length = 0
    const token = await logIn(app)
    const session = (await app.inject(withToken(token))).json()
    const answer = await app.inject(logout(token))
    t.equal(answer.statusCode, 204)
    t.equal(answer.headers['session-ended'], 'logged_out')
    t.strictSame(notified, [session, false, '127.0.0.1'])
    t.equal((await app.inject(withToken(token))).statusCode, 401)
  }
  t.strictSame(
    lines.filter((line) => line.includes('upstream-only')),
    []
  )
})

t.test('the upstream is not notified of a logout that was not stored', async (t) => {
  let calls = 0
  const upstream: UpstreamClient = {
    login: async () => ({ user: { id: 'ada' } }),
    logout: async () => {
      calls += 1
    }
  }
  const memory = createMemoryStore()
  const app = await createApp(t, { upstream, store: { ...memory, end: () => Promise.reject(new Error('down')) } })
  const token = await logIn(app)
  t.equal((await app.inject(logout(token))).statusCode, 503)
  t.equal((await app.inject(withToken(token))).statusCode, 200, 'the session stays live')
  t.equal(calls, 0)
})

t.test('a logout is one call of the store, and notifies the upstream once', async (t) => {
  const calls: string[] = []
  const memory = createMemoryStore()
  const store = Object.fromEntries(
    Object.entries(memory).map(([name, method]) => [
      name,
      (...args: unknown[]) => {
        calls.push(name)
        return (method as (...args: unknown[]) => unknown)(...args)
      }
    ])
  ) as unknown as SessionStore
  const notified: unknown[] = []
  const upstream: UpstreamClient = {
    login: async () => ({ user: { id: 'ada' } }),
    logout: async (session) => notified.push(session.id)
  }
  const app = await createApp(t, { upstream, store })
  const token = await logIn(app)
  calls.length = 0
  t.equal((await app.inject(logout(token))).statusCode, 204)
  t.strictSame(calls, ['end'])
  t.equal((await app.inject(logout(token))).statusCode, 204)
  t.equal(notified.length, 1, 'a second logout does not notify the upstream')
})
