import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SessionStore } from 'fastify-jwt-session'
import { createUserStore, type UserSessions } from './user-sessions.js'

export interface FileStoreOptions {
  /**
   * Makes the folder a store, if it is none yet. Default false: a folder that is no store fails the start. It may be
   * the place of a volume that is not mounted, and to take that for an empty store would log every user out.
   */
  isNew?: boolean
}

/** A login that takes longer than this is not told that all sessions of the user were ended meanwhile. */
const REVOKED_MARK_MS = 3_600_000

/**
 * Sessions as files, one for each user: no Redis, and a restart logs no user out. For an app of **one** process: two
 * would overwrite each other's changes, and sessions that have ended would come back. So end the old process before the
 * new one starts. The file of a user who does not come back stays: delete files that have not been written for
 * `ttlSeconds` from time to time.
 *
 * @throws {Error} the folder is no store
 */
export async function createFileStore(folder: string, { isNew = false }: FileStoreOptions = {}): Promise<SessionStore> {
  const marker = join(folder, 'is-a-session-store')
  if (isNew) {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeFile(marker, '')
  }
  await access(marker).catch((cause: unknown) => {
    throw new Error(`${folder} is no session store. Is its volume mounted? A new one is made with isNew.`, { cause })
  })

  // In hex: some file systems take `a` and `A` for the same.
  const pathOf = (tag: string) => join(folder, Buffer.from(tag, 'base64url').toString('hex'))
  const changes = new Map<string, Promise<unknown>>()

  async function read(tag: string): Promise<UserSessions> {
    try {
      const { entries, revokedAt }: UserSessions = JSON.parse(await readFile(pathOf(tag), 'utf8'))
      return { entries: entries.filter(({ expiresAt }) => expiresAt > Date.now()), revokedAt }
    } catch (error) {
      // "Not found" is a file that is missing from a store that is there. Every other failure must reject.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      await access(marker)
      return { entries: [], revokedAt: 0 }
    }
  }

  async function write(tag: string, user: UserSessions): Promise<void> {
    const file = pathOf(tag)
    if (user.entries.length === 0 && user.revokedAt < Date.now() - REVOKED_MARK_MS) return rm(file, { force: true })
    // Renamed when all of it is on the disk: half a file is never read, not even after a power cut.
    await writeFile(`${file}.new`, JSON.stringify(user), { mode: 0o600, flush: true })
    await rename(`${file}.new`, file)
  }

  /** Reads, edits and writes the file of a user, after the changes that were asked for before. */
  function change<T>(tag: string, edit: (user: UserSessions, now: number) => T): Promise<T> {
    const turn = Promise.allSettled([changes.get(tag)]).then(async () => {
      const user = await read(tag)
      const result = edit(user, Date.now())
      await write(tag, user)
      return result
    })
    changes.set(tag, turn)
    return turn.finally(() => changes.get(tag) === turn && changes.delete(tag))
  }

  return createUserStore({ read, change })
}
