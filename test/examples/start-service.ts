import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { type WebSocket, WebSocketServer } from 'ws'

/** What the service was sent. */
export interface ServiceRequest {
  line: string
  /** As they came over the wire: name and value in turn. */
  rawHeaders: string[]
  body: string
}

/** A service that knows nothing of sessions. */
export interface Service {
  url: string
  port: number
  requests: ServiceRequest[]
  /** Answers in place of the default answer. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined
  /** Waits before the service accepts a WebSocket. */
  beforeUpgrade: Promise<unknown>
  /** The WebSockets that the service has accepted, with the codes of those that have closed. */
  sockets: { socket: WebSocket; rawHeaders: string[]; messages: string[]; closed: Promise<[number, string]> }[]
  /** Connections that ask for a WebSocket. */
  upgrades: Socket[]
  stop(): Promise<void>
}

/** Starts a service over real HTTP. Its default answer is 200 `{ ok: true }`; a WebSocket repeats each message. */
export async function startService(t: Test): Promise<Service> {
  const server = createServer(async (request, response) => {
    if (service.answer) return service.answer(request, response)
    service.requests.push(described(request, await text(request)))
    response.end('{"ok":true}')
  })
  const accept = new WebSocketServer({ noServer: true })
  server.on('upgrade', async (request, socket, head) => {
    service.upgrades.push(socket as Socket)
    await service.beforeUpgrade
    accept.handleUpgrade(request, socket, head, (socket) => {
      const closed = new Promise<[number, string]>((resolve) =>
        socket.on('close', (code, reason) => resolve([code, String(reason)]))
      )
      const messages: string[] = []
      service.sockets.push({ socket, rawHeaders: request.rawHeaders, messages, closed })
      socket.on('message', (data) => {
        messages.push(String(data))
        socket.send(String(data))
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const stop = async () => {
    for (const socket of accept.clients) socket.terminate()
    for (const socket of service.upgrades) socket.destroy()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  t.teardown(stop)
  const service: Service = {
    ...{ url: `http://127.0.0.1:${port}`, port, requests: [], answer: undefined },
    ...{ beforeUpgrade: Promise.resolve(), sockets: [], upgrades: [], stop }
  }
  return service
}

function described({ method, url, rawHeaders }: IncomingMessage, body: string): ServiceRequest {
  return { line: `${method} ${url}`, rawHeaders, body }
}

/** The values of all headers that a program behind CGI, WSGI or PHP would take for the header of this name. */
export function spellingsOf(rawHeaders: readonly string[], name: string): string[] {
  const isSame = (other: string) => other.toLowerCase().replace(/[^a-z\d]/g, '-') === name
  return rawHeaders.filter((_, index) => index % 2 === 1 && isSame(rawHeaders[index - 1] ?? ''))
}
