/** The least that a user of a session has: the fields of the server's `userSchema`. */
export interface ClientUser {
  id: string
}

/**
 * Why the page has no session: the reasons of the server's `Session-Ended`, and `login_needed` (the stored session cannot
 * be used by this release of the server).
 */
export type EndReason =
  | 'invalid_token'
  | 'expired'
  | 'logged_out'
  | 'revoked'
  | 'replaced'
  | 'logged_in_again'
  | 'login_needed'
  | 'unknown'

/** Whether the page has a session, as far as the page knows. The same object while nothing has changed. */
export type SessionSnapshot<User extends ClientUser = ClientUser> =
  | { readonly status: 'loading' }
  | {
      readonly status: 'signed-out'
      /** Why the last session has ended; null when the page knows of no session. */
      readonly reason: EndReason | null
    }
  | {
      readonly status: 'signed-in'
      readonly user: User
      /** Absolute expiry, in epoch milliseconds of the page's clock. */
      readonly expiresAt: number
      /** Idle expiry, in epoch milliseconds of the page's clock; null without an idle timeout, and until known. */
      readonly idleExpiresAt: number | null
    }

/** The body of the answer to a login, as the server's login route and `app.sessions.login()` have it. */
export interface LoginAnswer {
  token_type: string
  /** With `token_type` `Bearer`. */
  access_token?: string | undefined
  /** Seconds until the absolute expiry. */
  expires_in: number
  user: ClientUser
}

/** Options of {@link createSessionClient}. Each may be left out. */
export interface SessionClientOptions {
  /** Origin of the server, `http:` or `https:`, without a path. Default: `''`, the origin of the page. */
  baseUrl?: string | undefined
  /** Prefix of the server's routes. Default: `'/user'`. */
  prefix?: string | undefined
  /** How the server gets the session: a bearer token, stored in localStorage, or its cookie. Default: `'bearer'`. */
  transport?: 'bearer' | 'cookie' | undefined
  /** Letters, digits, `_` and `-`. Two apps on one origin take two names. Default: `'session'`. */
  name?: string | undefined
  /** Keys of localStorage that survive the end of a session, such as a theme. Default: `[]`. */
  keep?: readonly string[] | undefined
  /**
   * Empties the page's stores, in each open page, instead of the default: localStorage without `keep`, sessionStorage,
   * IndexedDB and Cache API. The client waits at most 1 second.
   */
  clear?: ((reason: EndReason) => void | Promise<void>) | undefined
  /** Where each open page goes (`location.replace()`) after the end of its session. Default: none. */
  loginUrl?: string | undefined
  /** False: no event stream. An end is noticed at the next answer, or when the page is looked at. Default: true. */
  events?: boolean | undefined
}

/** Called once at the end of each session that the page has shown. */
export type EndListener = (reason: EndReason) => void

/** The session of a page, shared by all pages of the browser. All functions may be passed around unbound. */
export interface SessionClient<User extends ClientUser = ClientUser> {
  /**
   * Sends the credentials to the login route. Ends the session that the page has, if the login succeeds.
   *
   * @param credentials JSON, as the server's body schema wants it
   * @returns the answer, 401 and 429 included. While a logout is pending and the server refuses it: that refusal
   * @throws TypeError without an answer, or when the answer is not one of this `transport`
   */
  login(credentials: unknown): Promise<Response>
  /**
   * Takes over a session that another route has opened, such as a magic link.
   *
   * @param answer the body of the answer
   * @throws TypeError when the answer is not one of this `transport`
   */
  adopt(answer: LoginAnswer): Promise<void>
  /**
   * Ends the session in all pages at once, then on the server. A logout that the server was not told of is sent again
   * when a page loads, comes online or is looked at. Never rejects.
   *
   * @returns whether the server has acknowledged
   */
  logout(): Promise<boolean>
  /**
   * Extends the idle expiry ("stay logged in").
   *
   * @returns the answer; 503: not extended
   */
  extend(): Promise<Response>
  /**
   * `fetch` with the session. Calls under way are aborted (`AbortError`) at the end of the session and before a login,
   * and no call is sent while a logout is pending.
   *
   * @throws TypeError for another origin than `baseUrl`
   */
  fetch(path: string | URL, init?: RequestInit): Promise<Response>
  /** @returns removes the listener */
  onEnd(listener: EndListener): () => void
  /** For `useSyncExternalStore`. @returns removes the listener */
  subscribe(listener: () => void): () => void
  /** For `useSyncExternalStore`. */
  getSnapshot(): SessionSnapshot<User>
  /** For `useSyncExternalStore`: always `loading`. */
  getServerSnapshot(): SessionSnapshot<User>
  /** Stops timers, stream and listeners, and aborts calls under way. The session stays. */
  close(): void
}

/** The window of a page. Tests have windows of their own. */
export type Page = Window & typeof globalThis
