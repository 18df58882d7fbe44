import { Readable } from 'node:stream'
import { PlainCause, redactError } from '../internal/redact-error.js'
import type { UpstreamHttpResponse } from './upstream-dispatcher.js'

/** The JSON of a body; or the problem with the body, as the end of the sentence "The response …". */
export type ReadBody = { json: unknown } | { problem: string; code?: string }

/** The code of a response without a body. */
export const EMPTY = 'EMPTY'

/** Reads and parses a JSON body. Never rejects. */
export async function readJson({ body }: UpstreamHttpResponse, maxBytes: number): Promise<ReadBody> {
  let bytes: Buffer | typeof TOO_LARGE
  try {
    bytes = await (body instanceof Readable ? collectStream(body, maxBytes) : collect(body, maxBytes))
  } catch (error) {
    const { message, code } = redactError(error)
    return { problem: `was cut off: ${message}`, code }
  }
  if (bytes === TOO_LARGE) return { problem: 'is larger than `upstream.maxResponseBytes`' }
  if (bytes.length === 0) return { problem: 'is empty', code: EMPTY }
  try {
    const text = UTF8.decode(bytes)
    return { json: MAY_HAVE_PROTOTYPE_KEY.test(text) ? JSON.parse(text, dropPrototypeKey) : JSON.parse(text) }
  } catch {
    return { problem: 'is not JSON' }
  }
}

const TOO_LARGE = Symbol('too large')

async function collect(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer | typeof TOO_LARGE> {
  const chunks: Uint8Array[] = []
  let size = 0
  // A `return` within the loop destroys the body and the connection.
  for await (const chunk of body) {
    size += chunk.length
    if (size > maxBytes) return TOO_LARGE
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** {@link collect} by events, which cost 6 µs less per response than an iteration of the stream. */
function collectStream(body: Readable, maxBytes: number): Promise<Buffer | typeof TOO_LARGE> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let size = 0
    body.on('data', (chunk: Uint8Array) => {
      size += chunk.length
      chunks.push(chunk)
      if (size <= maxBytes) return
      resolve(TOO_LARGE)
      body.destroy()
    })
    body.on('end', () => resolve(Buffer.concat(chunks)))
    body.on('error', reject)
    // Without an error or an end before: the connection was closed.
    body.on('close', () => reject(new PlainCause('the connection was closed')))
  })
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })

/** The key, or an escape that may spell the key: a reviver makes parsing five times as slow. */
const MAY_HAVE_PROTOTYPE_KEY = /__proto__|\\u/

/** A JSON reviver against prototype pollution: `selectUser` may copy the body with `Object.assign`. */
function dropPrototypeKey(key: string, value: unknown): unknown {
  return key === '__proto__' ? undefined : value
}
