import { createBrowserClient } from './browser-client.js'
import type { ClientUser, SessionClient, SessionClientOptions } from './types.js'

export type {
  ClientUser,
  EndListener,
  EndReason,
  LoginAnswer,
  SessionClient,
  SessionClientOptions,
  SessionSnapshot
} from './types.js'

/**
 * Creates the session client of a page: logs in and out, sends requests with the session, and empties the page's stores
 * as soon as the session ends, wherever that happens. One client for each page; all pages of the browser share the session.
 * On a server the client is inert.
 *
 * ```ts
 * const session = createSessionClient<{ id: string; name: string }>({ keep: ['theme'] })
 * session.subscribe(() => console.log(session.getSnapshot()))
 * await session.login({ username: 'ada', password: 'lovelace' })
 * ```
 *
 * @throws TypeError that names a wrong option
 */
export function createSessionClient<User extends ClientUser = ClientUser>(
  options: SessionClientOptions = {}
): SessionClient<User> {
  return createBrowserClient(globalThis.window, options)
}
