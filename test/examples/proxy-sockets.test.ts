import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import WebSocket, { type ClientOptions } from 'ws'
import { sessionProxy } from '../../examples/session-proxy.js'
import { countWatched } from '../fixtures/count-watched.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { until } from '../fixtures/until.js'
import { COOKIE, createProxyScene, type ProxyScene } from './proxy-scene.js'
import { spellingsOf } from './start-service.js'

/** Asks for a socket as the user. */
function open(t: Test, { url, token }: Pick<ProxyScene, 'url' | 'token'>, options: ClientOptions = {}) {
  const headers = { authorization: `Bearer ${token}`, ...options.headers }
  const socket = new WebSocket(`${url.replace('http', 'ws')}/orders/live?a=1`, { ...options, headers })
  socket.on('error', () => {})
  t.teardown(() => socket.terminate())
  const closed = new Promise<[number, string]>((resolve) =>
    socket.on('close', (code, reason) => resolve([code, String(reason)]))
  )
  return { socket, closed }
}

/** Opens a socket to the service, and sees that both ends hear each other. */
async function talk(t: Test, scene: ProxyScene, options: ClientOptions = {}) {
  const { socket, closed } = open(t, scene, options)
  await once(socket, 'open')
  const answered = once(socket, 'message')
  socket.send('hello')
  t.equal(String((await answered)[0]), 'hello')
  const atService = scene.service.sockets.at(-1)
  if (atService === undefined) throw new Error('The service has no socket')
  return { socket, closed, atService }
}

const ENDED = [4401, 'The session has ended']

t.test('the service gets the user of a socket, and no credentials or identity of the client', async (t) => {
  const scene = await createProxyScene(t)
  const headers = {
    cookie: `a=b; ${COOKIE}=${scene.token}`,
    origin: scene.url,
    ...{ 'session-user': 'eve', session_user: 'eve', 'Session.User': 'eve', 'content-length': '5' }
  }
  const { atService } = await talk(t, scene, { headers })
  t.strictSame(spellingsOf(atService.rawHeaders, 'session-user'), ['ada'])
  t.strictSame(spellingsOf(atService.rawHeaders, 'cookie'), ['a=b'])
  t.strictSame(spellingsOf(atService.rawHeaders, 'authorization'), [])
  t.notMatch(atService.rawHeaders.join('\n'), scene.token)
})

t.test('a page opens a socket with the cookie, and a page of another site does not', async (t) => {
  const scene = await createProxyScene(t)
  const cookie = `${COOKIE}=${scene.token}`
  const fromPage = (origin: string) => open(t, scene, { headers: { authorization: '', cookie, origin } }).socket
  await once(fromPage(scene.url), 'open')
  const [, refused] = await once(fromPage('https://evil.example'), 'unexpected-response')
  t.equal(refused.statusCode, 403)
  t.equal(scene.service.sockets.length + scene.service.upgrades.length, 2, 'the service has seen one socket')
})

t.test('a socket without a live session is refused over HTTP', async (t) => {
  const scene = await createProxyScene(t)
  await scene.app.sessions.revoke(scene.sessionId)
  const [, ended] = await once(open(t, scene).socket, 'unexpected-response')
  t.equal(ended.statusCode, 401)
  t.equal(ended.headers['session-ended'], 'revoked')
  const [, stranger] = await once(
    open(t, scene, { headers: { authorization: '', 'session-user': 'ada' } }).socket,
    'unexpected-response'
  )
  t.equal(stranger.statusCode, 401)
  t.strictSame(scene.service.upgrades, [])
})

t.test('both ends of a socket close with 4401 when the session ends by a logout', async (t) => {
  const scene = await createProxyScene(t)
  const first = await talk(t, scene)
  const second = await talk(t, scene)
  const { token } = await scene.app.sessions.create({ id: 'ada' })
  const other = await talk(t, { ...scene, token })
  const headers = { authorization: `Bearer ${scene.token}` }
  t.equal((await fetch(`${scene.url}/user/logout`, { method: 'POST', headers })).status, 204)
  for (const { closed, atService } of [first, second]) {
    t.strictSame(await closed, ENDED)
    t.strictSame(await atService.closed, ENDED)
  }
  t.equal(other.socket.readyState, WebSocket.OPEN, 'another session of the user stays')
})

t.test('both ends of a socket close when another instance ends the session', async (t) => {
  const redis = await connectRedis(t)
  const scene = await createProxyScene(t, { redis })
  const { app: other } = await createProxyScene(t, { redis, userId: 'grace' })
  const { closed, atService } = await talk(t, scene)
  await other.sessions.revokeAll('ada')
  t.strictSame(await closed, ENDED)
  t.strictSame(await atService.closed, ENDED)
})

t.test('a client that ignores the close gets no more messages through, in neither direction', async (t) => {
  const scene = await createProxyScene(t)
  const { socket, atService } = await talk(t, scene)
  const received: string[] = []
  socket.on('message', (data) => received.push(String(data)))
  // The client neither reads nor answers the close frame.
  socket.pause()
  await scene.app.sessions.revoke(scene.sessionId)
  t.strictSame(await atService.closed, ENDED)
  socket.send('after the end')
  atService.socket.send('after the end')
  socket.resume()
  await once(socket, 'close')
  t.strictSame(atService.messages, ['hello'])
  t.strictSame(received, [])
})

t.test(
  'a session that ends while the service accepts the socket closes both ends, and no message passes',
  async (t) => {
    const scene = await createProxyScene(t)
    const { service } = scene
    let accept = () => {}
    service.beforeUpgrade = new Promise<void>((resolve) => {
      accept = resolve
    })
    const { socket, closed } = open(t, scene)
    await once(socket, 'open')
    socket.send('early')
    await until(() => service.upgrades.length === 1)
    await scene.app.sessions.revoke(scene.sessionId)
    await scene.app.sessions.create({ id: 'ada' })
    accept()
    t.strictSame(await closed, ENDED)
    t.strictSame(await service.sockets[0]?.closed, ENDED)
    t.strictSame(service.sockets[0]?.messages, [])
  }
)

t.test(
  'a service that never accepts: the socket closes with 4401 after the end of the session, else with 1011',
  async (t) => {
    const overrides = ({ wsClientOptions }: { wsClientOptions: object }) => ({
      wsClientOptions: { ...wsClientOptions, handshakeTimeout: 200 }
    })
    const scene = await createProxyScene(t, { overrides })
    t.equal(sessionProxy().wsClientOptions.handshakeTimeout, 10_000)
    scene.service.beforeUpgrade = new Promise(() => {})
    t.strictSame(await open(t, scene).closed, [1011, 'The service does not respond'])
    const { socket, closed } = open(t, scene)
    await once(socket, 'open')
    await scene.app.sessions.revoke(scene.sessionId)
    t.strictSame(await closed, ENDED)
  }
)

t.test('a service that is down closes the socket with 1011, without its address', async (t) => {
  const scene = await createProxyScene(t)
  await scene.service.stop()
  t.strictSame(await open(t, scene).closed, [1011, 'The service does not respond'])
})

t.test('a service that refuses the socket closes the socket of the client', async (t) => {
  const scene = await createProxyScene(t)
  scene.service.answer = (_request, response) => response.writeHead(403).end()
  scene.service.beforeUpgrade = new Promise(() => {})
  const { socket, closed } = open(t, scene)
  await once(socket, 'open')
  await until(() => scene.service.upgrades.length === 1)
  scene.service.upgrades[0]?.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
  t.equal((await closed)[0], 1011)
})

t.test('codes of both ends reach the other end', async (t) => {
  const scene = await createProxyScene(t)
  const first = await talk(t, scene)
  first.atService.socket.close(4000, 'bye')
  t.strictSame(await first.closed, [4000, 'bye'])
  const second = await talk(t, scene)
  second.socket.close(4001, 'done')
  t.strictSame(await second.atService.closed, [4001, 'done'])
})

t.test(
  'nothing is left of sockets that have closed, also of those that closed while the service accepted',
  async (t) => {
    const countNow = countWatched(t)
    const scene = await createProxyScene(t)
    const { service } = scene
    const open20 = () => Promise.all(Array.from({ length: 20 }, () => talk(t, scene)))
    for (const { socket } of await open20()) socket.close()
    for (const { socket } of await open20()) socket.terminate()
    await until(() => countNow() === 0)
    for (const { closed } of service.sockets) await closed

    await open20()
    t.equal(countNow(), 1, 'one watch for all sockets of a session')
    for (const { socket } of service.sockets) socket.terminate()
    await until(() => countNow() === 0)

    let accept = () => {}
    service.beforeUpgrade = new Promise<void>((resolve) => {
      accept = resolve
    })
    const { socket, closed } = open(t, scene)
    await once(socket, 'open')
    socket.terminate()
    await closed
    await until(() => countNow() === 0)
    accept()
    await until(() => service.sockets.length === 61)
    await service.sockets[60]?.closed
  }
)

t.test('an error at one end closes the other end, whatever its message is', async (t) => {
  const scene = await createProxyScene(t, {
    overrides: ({ wsHooks }) => ({
      wsHooks: {
        ...wsHooks,
        onConnect(context: unknown, source: WebSocket, target: WebSocket) {
          wsHooks.onConnect(context, source, target)
          source.once('message', () => target.emit('error', new Error('a message of OpenSSL '.repeat(20))))
        }
      }
    })
  })
  const first = open(t, scene)
  await once(first.socket, 'open')
  await until(() => scene.service.sockets.length === 1)
  first.socket.send('hello')
  t.strictSame(await first.closed, [1011, 'The connection broke'])
  t.equal((await scene.service.sockets[0]?.closed)?.[0], 1011)
})

t.test('a client that breaks the protocol closes the socket of the service', async (t) => {
  const scene = await createProxyScene(t)
  const { socket, atService } = await talk(t, scene)
  const { _socket: connection } = socket as unknown as { _socket: Socket }
  connection.write(Buffer.from([0xff, 0x80, 0, 0, 0, 0]))
  t.equal((await atService.closed)[0], 1011)
  t.equal((await fetch(`${scene.url}/orders/7`)).status, 401, 'the proxy is alive')
})

t.test('a route with `optional` opens no socket without a session', async (t) => {
  const scene = await createProxyScene(t, { overrides: () => ({ config: { session: { optional: true } } }) })
  t.equal((await fetch(`${scene.url}/orders/7`, { headers: { 'session-user': 'eve' } })).status, 200)
  t.strictSame(spellingsOf(scene.service.requests[0]?.rawHeaders ?? [], 'session-user'), [])
  t.strictSame(await open(t, scene, { headers: { authorization: '' } }).closed, ENDED)
  await talk(t, scene)
})
