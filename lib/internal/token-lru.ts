interface Entry<Value> {
  token: string
  value: Value
  older: Entry<Value> | null
  newer: Entry<Value> | null
}

/** Characters of a key: 72 bits of the HMAC at the end of a token. On a collision the later token stays. */
const KEY_LENGTH = 12

/**
 * An LRU map with tokens as keys; a full map evicts the least recently used entry. Two differences from a plain `Map`
 * speed up the hot path: the key is the end of the token, because hashing the whole token takes longer, and the order
 * of use is a linked list, because moving a key to the end of a `Map` takes longer.
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

  get size(): number {
    return this.#entries.size
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

  /** @returns the copy of the token in the map, see {@link detach} */
  set(token: string, value: Value): string {
    const key = keyOf(token)
    const previous = this.#entries.get(key)
    if (previous !== undefined) this.#evict(previous)
    const entry = { token: detach(token), value, older: null, newer: null }
    this.#entries.set(key, entry)
    this.#append(entry)
    if (this.#entries.size > this.#maxEntries && this.#oldest !== null) this.#evict(this.#oldest)
    return entry.token
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

/** A copy of a token, which is ASCII. A slice of a header or of a URL would retain the whole text. */
function detach(token: string): string {
  return Buffer.from(token, 'latin1').toString('latin1')
}
