import type { ClientConfig } from './options.js'
import type { SessionRecord } from './session-record.js'
import type { ClientUser, EndListener, Page, SessionSnapshot } from './types.js'

/** The snapshot of a page that does not know yet, and of every server. */
export const LOADING = { status: 'loading' } as const

/** What the parts of the client share in one page. Only `session-state.ts` changes the record and the snapshot. */
export interface Tab {
  readonly page: Page
  readonly config: ClientConfig
  /** The origin of the server. */
  readonly origin: string
  /** Key of the record in localStorage, and beginning of the names of locks. */
  readonly name: string
  readonly subscribers: Set<() => void>
  readonly onEnd: Set<EndListener>
  /** Of the calls that end with the session. */
  calls: AbortController
  /** What was read or written last. */
  text?: string | null | undefined
  /** The text of the record while localStorage throws. */
  memory?: string | undefined
  record: SessionRecord
  snapshot: SessionSnapshot<ClientUser>
  /** Whether the snapshot waits for an answer of the server. */
  expects?: boolean
  /** Of the next check. */
  timer?: ReturnType<typeof setTimeout>
  /** Of the event stream: ends the reading, and the wait for the lock. */
  run: AbortController
  /** When the server may be asked for the stream again, in epoch milliseconds. */
  retryAt: number
  /** Lost connections of the stream since the last heartbeat, counted from -50: the pause has 500 + 2^n milliseconds. */
  failures: number
  /** The longest wait for a sign of the server, in milliseconds: 2.5 heartbeats. */
  patience: number
  /** Of the pause, or of the wait for a sign. */
  streamTimer?: ReturnType<typeof setTimeout>
  /** Follows each change of the record, after the new snapshot. @param isEnd the page has shown a session that is over */
  follow?: ((previous: SessionRecord, isEnd: boolean) => void) | undefined
}
