import type { InjectOptions } from 'fastify'
import t from 'tap'
import { createMemoryStore } from '../../lib/index.js'
import { createApp, logIn, logout, SECRET, withToken } from '../fixtures/app.js'
import { createLog } from '../fixtures/log.js'
import { collectMessages } from '../fixtures/messages.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { PASSWORD, startUpstream } from '../fixtures/upstream.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

t.test('no reply and no log line at trace level has a secret or an internal detail', async (t) => {
  const { lines, logger } = createLog()
  const messages = collectMessages(t, (fault) => t.fail(fault))
  const redis = await startRedis(t)
  const upstream = await startUpstream(t)
  const broken = await startUpstream(t, (_request, response) => response.writeHead(500).end('upstream stack trace'))
  const options = { redis: redis.client({ commandTimeout: 900 }), storeTimeoutMs: 1_000 }
  const app = await createApp(t, { ...options, upstream: { baseUrl: upstream.baseUrl } }, { logger })
  const unlucky = await createApp(t, { ...options, upstream: { baseUrl: broken.baseUrl } }, { logger })
  const closed = await createApp(t, { ...options, upstream: { baseUrl: 'http://127.0.0.1:1/base-path' } }, { logger })

  const answers = []
  const token = await logIn(app)
  const sessionId = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).jti
  const login = { method: 'POST', url: '/user/login' } as const
  const payload = { username: 'ada', password: PASSWORD }
  answers.push(await app.inject(withToken(token, { url: '/open' })))
  answers.push(await app.inject({ ...login, payload: { ...payload, password: `${PASSWORD}!` } }))
  answers.push(await app.inject({ ...login, payload: { ...payload, [PASSWORD]: PASSWORD } }))
  answers.push(
    await app.inject({ ...login, payload: `{"password":"${PASSWORD}`, headers: { 'content-type': 'application/json' } })
  )
  answers.push(await app.inject({ ...login, payload: { username: [PASSWORD], password: PASSWORD } }))
  answers.push(await unlucky.inject({ ...login, payload }))
  answers.push(await closed.inject({ ...login, payload }))
  answers.push(await app.inject(withToken(`${token}x`)))
  answers.push(await app.inject({ ...login, url: '/user/register', payload: { ...payload, username: 'eve' } }))
  answers.push(await app.inject(logout(await logIn(app, 'eve'))))
  redis.stall()
  answers.push(await app.inject(withToken(token)))
  answers.push(await app.inject({ ...login, payload }))
  answers.push(await app.inject(logout(token)))
  await redis.kill()
  for (let i = 0; i < 5; i++) answers.push(await app.inject(withToken(token)))

  const published = Object.values(messages)
  for (const [name, list] of Object.entries(messages)) t.ok(list.length > 0, name)
  const written = [
    ...lines,
    ...published.flat().map((message) => JSON.stringify(message)),
    ...answers.map(({ body, headers }) => body + JSON.stringify(headers))
  ]
  t.ok(lines.length > answers.length, 'the log has lines')
  const secrets = [PASSWORD, SECRET, token, token.split('.')[2] ?? '', sessionId, 'fjs:', redis.socketPath]
  const details = ['upstream-only', 'upstream-token', 'upstream stack', upstream.baseUrl, broken.baseUrl, '127.0.0.1:1']
  for (const secret of [...secrets, ...details, 'base-path', '    at ', 'node_modules']) {
    t.strictSame(
      written.filter((text) => text.includes(secret)),
      [],
      `${secret} is in no reply and no log line`
    )
  }
})

t.test('createWatchedFastify() finds a secret in a log line and in a reply', async (t) => {
  const printed = t.capture(console, 'error')
  const failures: string[] = []
  const teardowns: (() => unknown)[] = []
  const app = createWatchedFastify({
    name: 'a test that leaks',
    teardown: (end) => teardowns.push(end),
    fail: (text) => failures.push(text)
  })
  app.get('/password', async () => PASSWORD)
  app.log.trace(SECRET)
  await app.inject('/password')
  for (const end of teardowns) await end()
  t.strictSame(failures, ['a secret has leaked'])
  t.match(printed()[0]?.args[0], 'A log line carries the secret\nThe answer to GET /password carries the password')
})

t.test('an error of the plugin that the host logs has a code and a cause, and no stack or arguments', async (t) => {
  const { lines, logger } = createLog()
  const find = () => Promise.reject(Object.assign(new Error('GET hunter2 at redis.internal'), { code: 'ECONNRESET' }))
  const app = await createApp(t, { store: { ...createMemoryStore(), find } }, { logger })
  const other = app.sessions.find('x'.repeat(38))
  await t.rejects(other, { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE', cause: { code: 'ECONNRESET' } })
  const error = await other.catch((error) => error)
  app.log.error(error, 'the host logs it')
  t.match(lines.at(-1), /FST_JWT_SESSION_STORE_UNAVAILABLE/)
  t.match(lines.at(-1), /ECONNRESET/)
  t.notMatch(lines.at(-1), /hunter2|redis\.internal| {4}at /)
})

t.test('the log line of a session that has ended has the reason', async (t) => {
  const { lines, logger } = createLog()
  const app = await createApp(t, {}, { logger })
  const token = await logIn(app)
  await app.inject(logout(token))
  const loggedFor = async (request: InjectOptions) => {
    lines.length = 0
    await app.inject(request)
    return lines.map((line) => JSON.parse(line)).find(({ code }) => code !== undefined)
  }
  t.match(await loggedFor(withToken(token)), { code: 'FST_JWT_SESSION_ENDED', reason: 'logged_out' })
  t.match(await loggedFor(withToken('garbage')), { code: 'FST_JWT_SESSION_ENDED', reason: 'invalid_token' })
  t.notOk('reason' in (await loggedFor({ url: '/me' })), 'without a token there is no reason')
})

t.test('the log line of a failed login has the status of the upstream', async (t) => {
  const { lines, logger } = createLog()
  const bodies: Record<string, string> = { 200: '<html>', 401: '{}', 418: '{}', 503: '' }
  const upstream = await startUpstream(t, (request, response) => {
    request.once('data', (body) => {
      const { username } = JSON.parse(body)
      response.writeHead(Number(username)).end(bodies[username])
    })
  })
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } }, { logger })
  const loggedFor = async (username: string) => {
    lines.length = 0
    await app.inject({ method: 'POST', url: '/user/login', payload: { username, password: PASSWORD } })
    return lines.map((line) => JSON.parse(line)).find(({ code }) => code !== undefined)
  }
  const CODE = 'FST_JWT_SESSION_UPSTREAM'
  t.match(await loggedFor('200'), { code: `${CODE}_INVALID`, upstreamStatus: 200 })
  t.match(await loggedFor('418'), { code: `${CODE}_INVALID`, upstreamStatus: 418 })
  t.match(await loggedFor('503'), { code: `${CODE}_UNAVAILABLE`, upstreamStatus: 503 })
  t.match(await loggedFor('401'), { code: 'FST_JWT_SESSION_CREDENTIALS_REJECTED', upstreamStatus: 401 })
  lines.length = 0
  await app.inject({ url: '/me' })
  t.notOk(lines.some((line) => line.includes('upstreamStatus')))
})
