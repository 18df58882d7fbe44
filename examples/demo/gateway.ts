import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { createService } from '../gateway/service.js'
import { createDemo } from './app.js'
import { freePort, NginxError, startNginx } from './nginx.js'

// `npm run demo:gateway`: the demo behind nginx, with `/me` of a server that knows nothing of sessions. Optional
// environment variables: PORT, NGINX.

const ISSUER = 'https://auth.example'
const AUDIENCE = 'main'

async function listen(app: FastifyInstance): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}

/** The user of a session, as far as the main server needs the user. */
function claimsOf(user: object): Record<string, unknown> {
  const { name, email }: { name?: unknown; email?: unknown } = user
  return { name, email }
}

async function start(): Promise<void> {
  const keys = generateKeyPairSync('ed25519')
  const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const publicKey = keys.publicKey.export({ type: 'spki', format: 'pem' }).toString()

  const authenticator = await createDemo({ identity: { key, issuer: ISSUER, audience: AUDIENCE, claims: claimsOf } })
  const service = await createService({ publicKey, issuer: ISSUER, audience: AUDIENCE })
  const close = async () => void (await Promise.all([authenticator.close(), service.close()]))
  try {
    const ports = { authenticator: await listen(authenticator), service: await listen(service) }
    const port = Number(process.env.PORT) || (process.env.PORT === '0' ? await freePort() : 3000)
    const nginx = await startNginx(port, ports)
    // Ctrl+C reaches nginx too. A closed terminal does not end nginx: SIGHUP makes nginx load its configuration again.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => nginx.kill())
    once(nginx, 'exit').then(close)

    console.log(`Demo: http://127.0.0.1:${port}`)
    console.log(`nginx asks the authenticator at port ${ports.authenticator} before each request to the main server.`)
    console.log(`GET /me is the only route of the main server, at port ${ports.service}. It verifies Session-Token.`)
  } catch (error) {
    await close()
    throw error
  }
}

try {
  await start()
} catch (error) {
  if (!(error instanceof NginxError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
