import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'

export interface Upstream {
  url: string
  close(): void
}

/** The upstream of every login: each login succeeds. */
export async function startUpstream(): Promise<Upstream> {
  const server = createServer(async (request, response) => {
    const { username } = (await json(request)) as { username: string }
    const user = { id: username, name: `User ${username}`, email: `${username}@example.com` }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ user }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    close() {
      server.closeAllConnections()
      server.close()
    }
  }
}
