/** An entry of a {@link TokenMap}. */
export interface TokenEntry<Value, Owner> {
  /** A copy of the token, see {@link detach}. */
  readonly token: string
  readonly value: Value
  /** The user of the token; a field of its own, because an object around value and owner would take 40 bytes. */
  readonly owner: Owner
}

interface Entry<Value, Owner> extends TokenEntry<Value, Owner> {
  older: Entry<Value, Owner> | null
  newer: Entry<Value, Owner> | null
}

/** Characters of a key: 72 bits of the HMAC at the end of a token. On a collision the later token stays. */
const KEY_LENGTH = 12

/**
 * An LRU map with tokens as keys; a full map evicts the least recently used entry. Two differences from a plain `Map`
 * speed up the hot path: the key is the end of the token, because hashing the whole token takes longer, and the order
 * of use is a linked list, because moving a key to the end of a `Map` takes longer.
 */
export class TokenMap<Value, Owner = void> {
  readonly #entries = new Map<string, Entry<Value, Owner>>()
  readonly #maxEntries: number
  readonly #onEvicted: ((entry: TokenEntry<Value, Owner>) => void) | undefined
  #oldest: Entry<Value, Owner> | null = null
  #newest: Entry<Value, Owner> | null = null

  constructor(maxEntries: number, onEvicted?: (entry: TokenEntry<Value, Owner>) => void) {
    this.#maxEntries = maxEntries
    this.#onEvicted = onEvicted
  }

  get size(): number {
    return this.#entries.size
  }

  get(token: string): TokenEntry<Value, Owner> | undefined {
    const entry = this.#find(token)
    if (entry === undefined) return undefined
    if (entry !== this.#newest) {
      this.#unlink(entry)
      this.#append(entry)
    }
    return entry
  }

  set(token: string, value: Value, owner: Owner): TokenEntry<Value, Owner> {
    const key = keyOf(token)
    const previous = this.#entries.get(key)
    if (previous !== undefined) this.#evict(previous)
    const entry = { token: detach(token), value, owner, older: null, newer: null }
    this.#entries.set(key, entry)
    this.#append(entry)
    if (this.#entries.size > this.#maxEntries && this.#oldest !== null) this.#evict(this.#oldest)
    return entry
  }

  delete(token: string): void {
    const entry = this.#find(token)
    if (entry !== undefined) this.#remove(entry)
  }

  #find(token: string): Entry<Value, Owner> | undefined {
    const entry = this.#entries.get(keyOf(token))
    return entry?.token === token ? entry : undefined
  }

  #evict(entry: Entry<Value, Owner>): void {
    this.#remove(entry)
    this.#onEvicted?.(entry)
  }

  #remove(entry: Entry<Value, Owner>): void {
    this.#entries.delete(keyOf(entry.token))
    this.#unlink(entry)
  }

  #append(entry: Entry<Value, Owner>): void {
    entry.older = this.#newest
    entry.newer = null
    if (this.#newest === null) this.#oldest = entry
    else this.#newest.newer = entry
    this.#newest = entry
  }

  #unlink({ older, newer }: Entry<Value, Owner>): void {
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
