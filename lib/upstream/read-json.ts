import { Readable } from 'node:stream'
import { PlainCause, redactError } from '../internal/redact-error.js'
import type { UpstreamHttpResponse } from './upstream-dispatcher.js'

/** The JSON of a body; or the problem with the body, as the end of the sentence "The response …". */
export type ReadBody = { json: unknown } | { problem: string; code?: string }

/** The code of a response without a body. */
export const EMPTY = 'EMPTY'

/** Reads and parses a JSON body. Never rejects. */
export async function readJson({ body }: UpstreamHttpResponse, maxBytes: number): Promise<ReadBody> {
  const chunks = new Chunks(maxBytes)
  try {
    await (body instanceof Readable ? readStream(body, chunks) : iterate(body, chunks))
  } catch (error) {
    const { message, code } = redactError(error)
    return { problem: `was cut off: ${message}`, code }
  }
  if (chunks.isTooLarge) return { problem: 'is larger than `upstream.maxResponseBytes`' }
  if (chunks.size === 0) return { problem: 'is empty', code: EMPTY }
  try {
    const text = UTF8.decode(chunks.toBytes())
    return { json: MAY_HAVE_PROTOTYPE_KEY.test(text) ? JSON.parse(text, dropPrototypeKey) : JSON.parse(text) }
  } catch {
    return { problem: 'is not JSON' }
  }
}

/** The chunks of a body until the body is too large. */
class Chunks {
  readonly #maxBytes: number
  readonly #chunks: Uint8Array[] = []
  size = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get isTooLarge(): boolean {
    return this.size > this.#maxBytes
  }

  add(chunk: Uint8Array): void {
    this.size += chunk.length
    this.#chunks.push(chunk)
  }

  toBytes(): Uint8Array {
    const [first] = this.#chunks
    return first !== undefined && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks)
  }
}

async function iterate(body: AsyncIterable<Uint8Array>, chunks: Chunks): Promise<void> {
  for await (const chunk of body) {
    chunks.add(chunk)
    // Destroys the body and the connection.
    if (chunks.isTooLarge) return
  }
}

/** {@link iterate} by events, which cost 6 µs less per response than an iteration of the stream. */
function readStream(body: Readable, chunks: Chunks): Promise<void> {
  return new Promise((resolve, reject) => {
    body.on('data', (chunk: Uint8Array) => {
      chunks.add(chunk)
      if (!chunks.isTooLarge) return
      resolve()
      body.destroy()
    })
    body.on('end', resolve)
    body.on('error', reject)
    // Without an error or an end before: the connection was closed.
    body.on('close', () => {
      if (!body.readableEnded) reject(new PlainCause('the connection was closed'))
    })
  })
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })

/** The key, or an escape that may spell the key: a reviver makes parsing five times as slow. */
const MAY_HAVE_PROTOTYPE_KEY = /__proto__|\\u/

/** A JSON reviver against prototype pollution: `selectUser` may copy the body with `Object.assign`. */
function dropPrototypeKey(key: string, value: unknown): unknown {
  return key === '__proto__' ? undefined : value
}
