import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createApp } from '../fixtures/app.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { goodLogin } from '../fixtures/raw-upstream.js'

const LOGIN = postJson('/user/login', CREDENTIALS)
const KEEP_OPEN_MS = 300
const NETWORK_MS = 30

/** An upstream that closes connections after 300 ms without a request, and sends no Keep-Alive header. */
async function startImpatientUpstream(t: Test): Promise<number> {
  const server = createServer((socket) => {
    let idle: NodeJS.Timeout | undefined
    socket.on('error', () => {})
    socket.on('close', () => clearTimeout(idle))
    socket.on('data', () => {
      clearTimeout(idle)
      socket.write(goodLogin('ada'))
      idle = setTimeout(() => socket.end(), KEEP_OPEN_MS)
    })
  })
  return listenOn(t, server)
}

/** A network with a delay of 30 ms, also for the end of a connection. */
async function startNetwork(t: Test, port: number): Promise<string> {
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    carry(near, far)
    carry(far, near)
  })
  return `http://127.0.0.1:${await listenOn(t, server)}`
}

function carry(from: Socket, to: Socket): void {
  const later = (deliver: () => void) => setTimeout(deliver, NETWORK_MS)
  from.on('data', (chunk) => later(() => to.writable && to.write(chunk)))
  from.on('end', () => later(() => to.end()))
  from.on('error', () => later(() => to.destroy()))
}

async function listenOn(t: Test, server: ReturnType<typeof createServer>): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

t.test('no login fails when the upstream closes idle connections', async (t) => {
  const baseUrl = await startNetwork(t, await startImpatientUpstream(t))
  // Each app has a pool of its own, and pauses a little longer than the app before.
  const pauses = Array.from({ length: 40 }, (_, index) => 180 + 5 * index)
  const statuses = await Promise.all(
    pauses.map(async (pauseMs) => {
      const app = await createApp(t, { upstream: { baseUrl } })
      const first = await app.inject(LOGIN)
      await delay(pauseMs)
      return [first.statusCode, (await app.inject(LOGIN)).statusCode]
    })
  )
  t.strictSame(
    statuses.filter((both) => both.some((status) => status !== 200)),
    []
  )
})
