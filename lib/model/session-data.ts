import { InvalidDataError } from '../errors.js'
import { cloneJson, isPlainObject } from '../internal/json.js'
import type { SessionData, SessionDataPatch } from './session.js'

const MAX_BYTES = 4_096

/**
 * Copies a patch, so that later changes of the original have no effect.
 *
 * @returns puts the patch's fields in the place of those of some data, and takes out those that are undefined; throws an
 * {@link InvalidDataError} when that makes it too long
 * @throws {InvalidDataError} the patch is no JSON object
 */
export function copyPatch(patch: SessionDataPatch): (data: Readonly<SessionData>) => SessionData {
  // One with a toJSON() would speak for fields that it does not have.
  const isJsonObject = isPlainObject(patch) && typeof patch.toJSON !== 'function'
  const set = isJsonObject ? cloneJson(patch) : undefined
  if (!isPlainObject(set)) throw new InvalidDataError()
  const removed = Object.keys(patch).filter((field) => !Object.hasOwn(set, field))

  return (data) => {
    const kept = Object.entries(data).filter(([field]) => !removed.includes(field))
    const merged = { ...Object.fromEntries(kept), ...set }
    if (Buffer.byteLength(JSON.stringify(merged)) > MAX_BYTES) throw new InvalidDataError()
    return merged as SessionData
  }
}
