import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** The network between the pages and a server. */
export interface Network {
  /** The address of the server, as the pages see it. */
  url: string
  /** Breaks all connections, and accepts none. */
  cut(): void
  restore(): void
}

/** A proxy before a server: the offline mode of a browser leaves open connections open. */
export async function startNetwork(t: Test, serverUrl: string): Promise<Network> {
  const sockets = new Set<Socket>()
  let isCut = false
  const proxy = createServer((client) => {
    if (isCut) {
      client.destroy()
      return
    }
    const server = connect(Number(new URL(serverUrl).port), '127.0.0.1')
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        server.destroy()
      })
    }
    client.pipe(server).pipe(client)
  })
  const drop = () => {
    for (const socket of sockets) socket.destroy()
  }
  t.teardown(() => {
    proxy.close()
    drop()
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    cut() {
      isCut = true
      drop()
    },
    restore() {
      isCut = false
    }
  }
}
