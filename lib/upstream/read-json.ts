import { redactError } from '../internal/redact-error.js'
import type { UpstreamHttpResponse } from './upstream-dispatcher.js'

/** What a body says; or why it says nothing that can be used, in words that follow "login: the answer …". */
export type ReadBody = { json: unknown } | { problem: string; code?: string }

/** The code of an answer without a body. */
export const EMPTY = 'EMPTY'

/** Reads a body that should be JSON. Does not reject. */
export async function readJson({ body }: UpstreamHttpResponse, maxBytes: number): Promise<ReadBody> {
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    // To leave the loop destroys the body, and so the connection.
    for await (const chunk of body) {
      size += chunk.length
      if (size > maxBytes) return { problem: 'is larger than `upstream.maxResponseBytes`' }
      chunks.push(chunk)
    }
  } catch (error) {
    const { message, code } = redactError(error)
    return { problem: `broke off: ${message}`, code }
  }
  if (size === 0) return { problem: 'is empty', code: EMPTY }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
    return { json: JSON.parse(text, dropPrototypeKey) }
  } catch {
    return { problem: 'is not JSON' }
  }
}

/** A reviver: `selectUser` is the application's code and may copy what it gets with `Object.assign`. */
function dropPrototypeKey(key: string, value: unknown): unknown {
  return key === '__proto__' ? undefined : value
}
