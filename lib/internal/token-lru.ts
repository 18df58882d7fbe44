interface Entry<Value> {
  token: string
  value: Value
  older: Entry<Value> | null
  newer: Entry<Value> | null
}

// 72 bits of the HMAC that a token ends with: as good as random. Where two share them, the last one is in the map.
const KEY_LENGTH = 12

/**
 * A map by exact text that ends with a token, of bounded size: when it is full, what was not used for the longest time goes. It is the
 * first thing that each request asks, so it spares what makes a Map slow here: texts are found by their end, a part of the
 * signature, and then compared, since hashing a whole one takes longer; and the order of use is a linked list, since moving a key to the
 * end of a Map takes longer.
 */
export class TokenMap<Value> {
  readonly #entries = new Map<string, Entry<Value>>()
  readonly #maxEntries: number
  readonly #onEvicted: ((token: string, value: Value) => void) | undefined
  #oldest: Entry<Value> | null = null
  #newest: Entry<Value> | null = null

  constructor(maxEntries: number, onEvicted?: (token: string, value: Value) => void) {
    this.#maxEntries = maxEntries
    this.#onEvicted = onEvicted
  }

  get(token: string): Value | undefined {
    const entry = this.#find(token)
    if (entry === undefined) return undefined
    if (entry !== this.#newest) {
      this.#unlink(entry)
      this.#append(entry)
    }
    return entry.value
  }

  set(token: string, value: Value): void {
    const key = keyOf(token)
    const previous = this.#entries.get(key)
    if (previous !== undefined) this.#evict(previous)
    const entry = { token, value, older: null, newer: null }
    this.#entries.set(key, entry)
    this.#append(entry)
    if (this.#entries.size > this.#maxEntries) this.#evict(this.#oldest as Entry<Value>)
  }

  delete(token: string): void {
    const entry = this.#find(token)
    if (entry !== undefined) this.#remove(entry)
  }

  #find(token: string): Entry<Value> | undefined {
    const entry = this.#entries.get(keyOf(token))
    return entry?.token === token ? entry : undefined
  }

  #evict(entry: Entry<Value>): void {
    this.#remove(entry)
    this.#onEvicted?.(entry.token, entry.value)
  }

  #remove(entry: Entry<Value>): void {
    this.#entries.delete(keyOf(entry.token))
    this.#unlink(entry)
  }

  #append(entry: Entry<Value>): void {
    entry.older = this.#newest
    entry.newer = null
    if (this.#newest === null) this.#oldest = entry
    else this.#newest.newer = entry
    this.#newest = entry
  }

  #unlink({ older, newer }: Entry<Value>): void {
    if (older === null) this.#oldest = newer
    else older.newer = newer
    if (newer === null) this.#newest = older
    else newer.older = older
  }
}

function keyOf(token: string): string {
  return token.slice(-KEY_LENGTH)
}
