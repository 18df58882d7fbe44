import { redactError } from '../internal/redact-error.js'
import type { UpstreamResponse } from './upstream-response.js'

/** The JSON of a body; or the problem with the body, as the end of the sentence "The response …". */
export type ReadBody = { json: unknown } | { problem: string; code?: string }

/** The code of a response without a body. */
export const EMPTY = 'EMPTY'

/** Reads and parses a JSON body. Never rejects. */
export function readJson(response: UpstreamResponse): Promise<ReadBody> {
  return response.readBody().then(parseBody, (error: unknown) => {
    const { message, code } = redactError(error)
    return { problem: `was cut off: ${message}`, code }
  })
}

function parseBody(bytes: Uint8Array | undefined): ReadBody {
  if (bytes === undefined) return { problem: 'is larger than `upstream.maxResponseBytes`' }
  if (bytes.length === 0) return { problem: 'is empty', code: EMPTY }
  try {
    const text = UTF8.decode(bytes)
    return { json: MAY_HAVE_PROTOTYPE_KEY.test(text) ? JSON.parse(text, dropPrototypeKey) : JSON.parse(text) }
  } catch {
    return { problem: 'is not JSON' }
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })

/** The key, or an escape that may spell the key: a reviver makes parsing five times as slow. */
const MAY_HAVE_PROTOTYPE_KEY = /__proto__|\\u/

/** A JSON reviver against prototype pollution: `selectUser` may copy the body with `Object.assign`. */
function dropPrototypeKey(key: string, value: unknown): unknown {
  return key === '__proto__' ? undefined : value
}
