/**
 * Where sessions live. Three operations, and three outcomes that must not be mixed up:
 *
 * - found: the record;
 * - not found: `null`, a normal answer. It ends the session in the client, which deletes its data;
 * - could not ask or tell: a rejection. Answered 503, and nothing is deleted anywhere.
 *
 * A store that is not sure must reject. It keeps opaque strings under opaque ids (32 characters of `A-Za-z0-9_-`), and
 * is not asked about anything else. Every operation is given up after `storeTimeoutMs`; it may still take effect later.
 */
export interface SessionStore {
  /**
   * Keeps the record for `ttlMs` milliseconds (a positive integer) and not a moment longer. The id is new.
   * Resolves once the record will be found by every process that shares the store.
   */
  create(id: string, record: string, ttlMs: number): Promise<void>
  /** The record kept under this id, or null when there is none, it has expired, or it is not a record. */
  find(id: string): Promise<string | null>
  /** Forgets the record, if there is one. Resolves once no process that shares the store will find it. */
  delete(id: string): Promise<void>
}
