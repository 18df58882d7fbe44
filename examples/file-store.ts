import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SessionStore } from 'fastify-jwt-session'
import { createUserStore, type UserSessions } from './user-sessions.js'

export interface FileStoreOptions {
  /**
   * Turns the folder into a store. Default false: a folder without a store fails the start, because an unmounted volume
   * would look like an empty store and log every user out.
   */
  isNew?: boolean
}

/** Milliseconds to remember an `endAll()`, which must reject logins that began earlier. Longer than every login. */
const REVOKED_MARK_MS = 3_600_000

/**
 * Sessions in files, a file per user: without Redis, and a restart logs no user out. For an app with a **single**
 * process: two processes would overwrite each other's changes and bring ended sessions back. Stop the old process
 * before starting the new process. Files of inactive users remain: from time to time delete the files not written for
 * `ttlSeconds`.
 *
 * @throws {Error} the folder is not a store
 */
export async function createFileStore(folder: string, { isNew = false }: FileStoreOptions = {}): Promise<SessionStore> {
  const marker = join(folder, 'is-a-session-store')
  if (isNew) {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeFile(marker, '')
  }
  await access(marker).catch((cause: unknown) => {
    throw new Error(`${folder} is not a session store. Is the volume mounted? Set isNew to create a new store.`, {
      cause
    })
  })

  // In hex, for file systems without case sensitivity.
  const pathOf = (tag: string) => join(folder, Buffer.from(tag, 'base64url').toString('hex'))
  const changes = new Map<string, Promise<unknown>>()

  async function read(tag: string): Promise<UserSessions> {
    try {
      const { entries, revokedAt }: UserSessions = JSON.parse(await readFile(pathOf(tag), 'utf8'))
      return { entries: entries.filter(({ expiresAt }) => expiresAt > Date.now()), revokedAt }
    } catch (error) {
      // "Not found" means a missing file in an existing store. Every other failure must reject.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      await access(marker)
      return { entries: [], revokedAt: 0 }
    }
  }

  async function write(tag: string, user: UserSessions): Promise<void> {
    const file = pathOf(tag)
    if (user.entries.length === 0 && user.revokedAt < Date.now() - REVOKED_MARK_MS) return rm(file, { force: true })
    // Renamed once flushed to disk: a partial file is never read, even after a power failure.
    await writeFile(`${file}.new`, JSON.stringify(user), { mode: 0o600, flush: true })
    await rename(`${file}.new`, file)
  }

  /** Reads, edits and writes the file of a user, after all pending changes of the file. */
  function change<T>(tag: string, edit: (user: UserSessions, now: number) => T): Promise<T> {
    const turn = Promise.allSettled([changes.get(tag)]).then(async () => {
      const user = await read(tag)
      const result = edit(user, performance.timeOrigin + performance.now())
      await write(tag, user)
      return result
    })
    changes.set(tag, turn)
    return turn.finally(() => changes.get(tag) === turn && changes.delete(tag))
  }

  return createUserStore({ read, change })
}
