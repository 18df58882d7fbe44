import { Pool } from 'undici'
import { sendToPool } from './pool-response.js'
import type { UpstreamCall } from './upstream-client.js'
import type { HttpUpstreamConfig } from './upstream-config.js'
import type { UpstreamHttpRequest, UpstreamHttpResponse } from './upstream-dispatcher.js'
import type { UpstreamResponse } from './upstream-response.js'

/**
 * Milliseconds before an idle connection is closed, unless a `Keep-Alive` header of the upstream says otherwise. An
 * upstream may close idle connections at any time. A request sent at the same moment fails and is never retried, hence
 * the short time.
 */
const KEEP_ALIVE_MS = 100

/** The connections to the upstream. */
export interface Transport {
  /** Sends a request, which the call aborts. Resolves to the response of any status. */
  send(request: Omit<UpstreamHttpRequest, 'signal'>, call: UpstreamCall): Promise<UpstreamResponse>
  /** Closes the connection pool. A dispatcher of the application stays open. */
  close(): Promise<void>
}

/** Opens a connection pool, unless the application has a dispatcher. */
export function openTransport(config: HttpUpstreamConfig): Transport {
  const { dispatcher, origin, timeoutMs, maxResponseBytes: maxBytes } = config
  if (dispatcher !== undefined) {
    return {
      async send(request, { signal }) {
        const response = await dispatcher.request({ signal, ...request })
        const { statusCode, headers, body } = response
        return {
          statusCode,
          headers,
          readBody: () => readBody(body, maxBytes),
          discardBody: () => body.dump({ limit: maxBytes, signal })
        }
      },
      async close() {}
    }
  }
  const pool = new Pool(origin, { connect: { timeout: timeoutMs }, keepAliveTimeout: KEEP_ALIVE_MS })
  return {
    send: (request, call) => sendToPool(pool, request, { call, maxBytes }),
    close: () => pool.close()
  }
}

async function readBody(body: UpstreamHttpResponse['body'], maxBytes: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    chunks.push(chunk)
    size += chunk.length
    // Destroys the body and the connection.
    if (size > maxBytes) return undefined
  }
  return Buffer.concat(chunks)
}
