import { InvalidDataError } from '../errors.js'
import { cloneJson, isPlainObject } from '../internal/json.js'
import type { SessionData, SessionDataPatch } from './session.js'

/** The rules of a session's `data`. */
export interface SessionDataRules {
  /**
   * Copies the data of a new session.
   * @throws {InvalidDataError} not a JSON object, or longer than `maxBytes` of JSON
   */
  copyNew(data: SessionData): SessionData
  /**
   * Copies a patch, to be independent of later changes to the original.
   * @returns a function that applies the patch to data: sets defined fields and removes undefined fields. The function
   * throws an {@link InvalidDataError} if the result is too long
   * @throws {InvalidDataError} the patch is not a JSON object
   */
  copyPatch(patch: SessionDataPatch): (data: Readonly<SessionData>) => SessionData
}

/** @param maxBytes maximum length of `data`, in bytes of JSON; empty data is always allowed */
export function createSessionDataRules(maxBytes: number): SessionDataRules {
  function copyObject(data: object): Record<string, unknown> {
    // The result of a toJSON() may have other fields than the object.
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
