import type { SessionStore } from 'fastify-jwt-session'
import { createUserStore, type UserSessions } from './user-sessions.js'

/** A table of a database, with a row for each user. */
export interface Table {
  /** The text of a row, null without a row; and the database's clock in epoch ms. Rejects without the table. */
  read(tag: string): Promise<{ text: string | null; now: number }>
  /** INSERT when `previous` is null, else UPDATE where the text equals `previous`. False: no row was written. */
  write(tag: string, next: string, previous: string | null): Promise<boolean>
}

/** Sessions in a table, shared by several processes. */
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
        // Another process was faster: start over, and keep the sessions ended by the other process ended.
        if (await table.write(tag, JSON.stringify(user), text)) return result
      }
    }
  })
}
