interface Entry<Value> {
  token: string
  value: Value
  older: Entry<Value> | null
  newer: Entry<Value> | null
}

// The HMAC at its end, in base64url: as good as random, and no two tokens share it.
const SIGNATURE_LENGTH = 43

/**
 * A map by exact token, of bounded size: when it is full, the one that was not used for the longest time goes. It is the
 * first thing that each request asks, so it spares what makes a Map slow here: tokens are found by their signature and
 * then compared, since hashing a whole one takes longer; and the order of use is a linked list, since moving a key to the
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
    const signature = signatureOf(token)
    const previous = this.#entries.get(signature)
    if (previous !== undefined) this.#remove(previous)
    const entry = { token, value, older: null, newer: null }
    this.#entries.set(signature, entry)
    this.#append(entry)
    if (this.#entries.size > this.#maxEntries) this.#evictOldest()
  }

  delete(token: string): void {
    const entry = this.#find(token)
    if (entry !== undefined) this.#remove(entry)
  }

  #find(token: string): Entry<Value> | undefined {
    const entry = this.#entries.get(signatureOf(token))
    return entry?.token === token ? entry : undefined
  }

  #evictOldest(): void {
    const entry = this.#oldest as Entry<Value>
    this.#remove(entry)
    this.#onEvicted?.(entry.token, entry.value)
  }

  #remove(entry: Entry<Value>): void {
    this.#entries.delete(signatureOf(entry.token))
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

function signatureOf(token: string): string {
  return token.slice(-SIGNATURE_LENGTH)
}
