import type { SessionStore } from 'fastify-jwt-session'
import { createUserStore, type UserSessions } from './user-sessions.js'

/** A table of a database, with a row for each user. */
export interface Table {
  /** The text in the row, null only when the table is there and has no such row; and the database's clock in epoch ms. */
  read(tag: string): Promise<{ text: string | null; now: number }>
  /** INSERT, or UPDATE where the text is still `previous`. Resolves to false, with nothing changed, when it is not. */
  write(tag: string, next: string, previous: string | null): Promise<boolean>
}

/** Sessions in a table that several processes share. */
export function createTableStore(table: Table): SessionStore {
  async function read(tag: string) {
    const { text, now } = await table.read(tag)
    const { entries, revokedAt }: UserSessions = text === null ? { entries: [], revokedAt: 0 } : JSON.parse(text)
    return { text, now, user: { entries: entries.filter(({ expiresAt }) => expiresAt > Date.now()), revokedAt } }
  }

  return createUserStore({
    read: async (tag) => (await read(tag)).user,
    async change(tag, edit) {
      for (;;) {
        const { text, now, user } = await read(tag)
        const result = edit(user, now)
        // Again from the start when another process was faster: what it has ended stays ended.
        if (await table.write(tag, JSON.stringify(user), text)) return result
      }
    }
  })
}
