import type { SessionStore } from './session-store.js'

type Track = NonNullable<SessionStore['track']>

/** A listener of a {@link ChangeFeed}. Each method is called without a wait, and must not throw. */
export interface ChangeListener {
  /** A session of the user with this tag has changed, or may have changed. Null: sessions of any user. */
  onChange(tag: string | null): void
  /** This process has begun to change a session of the user with this tag. {@link onChange} follows. */
  onChanging?(tag: string): void
  /** The store does not allow tracking. Called once, with the code of the store's reply. */
  onRefused(code: string): void
}

/**
 * The changes of stored sessions by any process, for the cache and for watched sessions: one tracking for both. The
 * tracking opens with the first listener. Changes by this process are reported also without tracking.
 */
export class ChangeFeed {
  readonly #track: Track | undefined
  readonly #maxStaleMs: number
  readonly #listeners: ChangeListener[] = []
  #tracking: ReturnType<Track> | undefined
  #refusal: string | undefined

  /**
   * @param store without `track()`: only changes by this process are reported
   * @param maxStaleMs see {@link TrackingOptions}
   */
  constructor(store: { track?: Track | undefined }, maxStaleMs: number) {
    this.#track = store.track
    this.#maxStaleMs = maxStaleMs
  }

  /** Adds a listener for the life of the feed. Resolves after the first attempt to track, also when the attempt fails. */
  async subscribe(listener: ChangeListener): Promise<void> {
    if (this.#refusal !== undefined) listener.onRefused(this.#refusal)
    this.#listeners.push(listener)
    this.#tracking ??= this.#track?.({
      maxStaleMs: this.#maxStaleMs,
      onChange: (tag) => this.changed(tag),
      onRefused: ({ message }) => this.#refuse(message.split(' ', 1).join())
    })
    await this.#tracking?.attempted
  }

  /** Whether every change of this user is known that is older than `maxStaleMs`. False without tracking. */
  isCurrent(tag: string): boolean {
    return this.#tracking?.isCurrent(tag) ?? false
  }

  /** Reports that this process has begun to change a session of the user with this tag. */
  changing(tag: string): void {
    for (const listener of this.#listeners) listener.onChanging?.(tag)
  }

  /** Reports a change, see {@link ChangeListener.onChange}. */
  changed(tag: string | null): void {
    for (const listener of this.#listeners) listener.onChange(tag)
  }

  close(): void {
    this.#tracking?.close()
  }

  /** The store repeats the refusal with every attempt. */
  #refuse(code: string): void {
    if (this.#refusal !== undefined) return
    this.#refusal = code
    for (const listener of this.#listeners) listener.onRefused(code)
  }
}
