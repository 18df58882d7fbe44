import { InvalidDataError } from '../errors.js'
import { cloneJson, isPlainObject } from '../internal/json.js'
import type { SessionData, SessionDataPatch } from './session.js'

/** The rules of a session's `data`. */
export interface SessionDataRules {
  /**
   * Copies the data of a new session.
   * @throws {InvalidDataError} it is no JSON object, or longer than `maxBytes` of JSON
   */
  copyNew(data: SessionData): SessionData
  /**
   * Copies a patch, so that later changes of the original have no effect.
   * @returns puts the patch's fields in the place of those of some data, and takes out those that are undefined; throws an
   * {@link InvalidDataError} when that makes it too long
   * @throws {InvalidDataError} the patch is no JSON object
   */
  copyPatch(patch: SessionDataPatch): (data: Readonly<SessionData>) => SessionData
}

/** @param maxBytes the longest data, in bytes of JSON; no data at all is always allowed */
export function createSessionDataRules(maxBytes: number): SessionDataRules {
  function copyObject(data: object): Record<string, unknown> {
    // One with a toJSON() would speak for fields that it does not have.
    const isJsonObject = isPlainObject(data) && typeof data.toJSON !== 'function'
    const copy = isJsonObject ? cloneJson(data) : undefined
    if (!isPlainObject(copy)) throw new InvalidDataError(maxBytes)
    return copy
  }

  function checkLength(data: object): SessionData {
    const isEmpty = Object.keys(data).length === 0
    if (!isEmpty && Buffer.byteLength(JSON.stringify(data)) > maxBytes) throw new InvalidDataError(maxBytes)
    return data as SessionData
  }

  return {
    copyNew: (data) => checkLength(copyObject(data)),
    copyPatch(patch) {
      const set = copyObject(patch)
      const removed = Object.keys(patch).filter((field) => !Object.hasOwn(set, field))
      return (data) => {
        const kept = Object.entries(data).filter(([field]) => !removed.includes(field))
        return checkLength({ ...Object.fromEntries(kept), ...set })
      }
    }
  }
}
