import { type AddressInfo, createServer } from 'node:net'
import t, { type Test } from 'tap'
import { createFaults } from '../fixtures/faults.js'
import type { ProxyName } from './programs.js'
import { startScene } from './scene.js'

/** A service that switches to any protocol, and the heads of the requests that have reached the service. */
async function startSwitchingService(t: Test) {
  const heads: string[] = []
  const server = createServer((socket) => {
    let received = ''
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      received += chunk
      if (!received.includes('\r\n\r\n')) return
      heads.push(received)
      const [, protocol] = /^upgrade: (.*)\r$/im.exec(received) ?? []
      const isSwitched = protocol !== undefined && /^connection:.*upgrade/im.test(received)
      received = ''
      if (isSwitched) socket.write(`HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`)
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { heads, port: (server.address() as AddressInfo).port }
}

const UPGRADES: Record<string, string[]> = {
  h2c: ['h2c'],
  'h2c in capitals': ['H2C'],
  'h2c before WebSocket': ['h2c, websocket'],
  'h2c after WebSocket': ['websocket, h2c'],
  'h2c in a line before': ['h2c', 'websocket'],
  'h2c in a line after': ['websocket', 'h2c'],
  'a name that begins like WebSocket': ['websocket2'],
  TLS: ['TLS/1.2']
}

for (const proxy of ['nginx', 'caddy'] satisfies ProxyName[]) {
  t.test(`${proxy}: a service that would switch to any protocol switches to WebSocket only`, async (t) => {
    const { heads, port } = await startSwitchingService(t)
    const { send, open } = await startScene(t, proxy, { servicePort: port })
    const lines = [
      `Authorization: Bearer ${(await open()).token}`,
      'Connection: Upgrade, HTTP2-Settings',
      'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
    ]
    const faults = createFaults()
    for (const [name, values] of Object.entries(UPGRADES)) {
      heads.length = 0
      const { status } = await send('GET /', [...values.map((value) => `Upgrade: ${value}`), ...lines])
      const isOther = heads.some((head) => /^upgrade: (?!websocket\r$)/im.test(head))
      // Of two lines nginx passes the first on, if this line is WebSocket.
      const isWebSocket = status === 101 && values[0] === 'websocket'
      faults.compare(name, [isOther, isWebSocket || status === 200 || status === 400], [false, true])
    }
    for (const value of ['websocket', 'WebSocket']) {
      faults.compare(value, (await send('GET /', [`Upgrade: ${value}`, ...lines])).status, 101)
    }
    heads.length = 0
    await send('GET /', lines.slice(0, 1))
    faults.compare(
      'no upgrade',
      heads.map((head) => /^(?:upgrade|connection): /im.test(head)),
      [false]
    )
    faults.assertNone(t)
  })
}
