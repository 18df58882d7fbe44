/** Whether this is an object literal or what JSON.parse makes of one: no array, promise, Map or instance of a class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** What the text says, or undefined when it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The text of the value, or undefined for what JSON has no text for. */
export function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return undefined
  }
}

/** A copy of what JSON can hold of the value: as it will be read back. Undefined when JSON cannot hold it. */
export function cloneJson(value: unknown): unknown {
  const text = toJson(value)
  return text === undefined ? undefined : parseJson(text)
}

/** A copy of what JSON.parse made, with everything in it. */
export function copyParsed<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copyParsed) as T
  const copy = { ...value } as Record<string, unknown>
  // An own `__proto__` is replaced like any other field.
  for (const key of Object.keys(copy)) if (typeof copy[key] === 'object') copy[key] = copyParsed(copy[key])
  return copy as T
}
