import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { KEPT_AFTER_LIFE_MS, type SessionLimit, type SessionStore } from 'fastify-jwt-session'

interface Entry {
  id: string
  /** A record, or the reason why the session ended. */
  text: string
  /** Epoch milliseconds, like `keptUntil`. */
  liveUntil: number
  keptUntil: number
}

/**
 * Sessions as files, one for each user: no Redis, and a restart logs nobody out. For an app of one process; more would
 * need a lock around `change()`. A user who does not come back leaves his file behind: delete old ones before a start.
 */
export async function createFileStore(folder: string): Promise<SessionStore> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const marker = join(folder, 'marker')
  await writeFile(marker, '')

  // In hex: some file systems take `a` and `A` for the same.
  const pathOf = (tag: string) => join(folder, Buffer.from(tag, 'base64url').toString('hex'))
  const changes = new Map<string, Promise<unknown>>()

  /** The user's sessions, the oldest first. */
  async function read(tag: string): Promise<Entry[]> {
    try {
      const entries: Entry[] = JSON.parse(await readFile(pathOf(tag), 'utf8'))
      return entries.filter(({ keptUntil }) => keptUntil > Date.now())
    } catch (error) {
      // "Not found" is a file that is missing from a disk that is there. No other failure may log anybody out.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      await access(marker)
      return []
    }
  }

  async function write(tag: string, entries: Entry[]): Promise<void> {
    const file = pathOf(tag)
    if (entries.length === 0) return rm(file, { force: true })
    // Renamed when all of it is on the disk: nobody finds half a file, not even after a power cut.
    await writeFile(`${file}.new`, JSON.stringify(entries), { mode: 0o600, flush: true })
    await rename(`${file}.new`, file)
  }

  /** Reads, edits and writes a user's file when the changes before this one are through. */
  function change<T>(tag: string, edit: (entries: Entry[]) => T): Promise<T> {
    const turn = Promise.allSettled([changes.get(tag)]).then(async () => {
      const entries = await read(tag)
      const result = edit(entries)
      await write(tag, entries)
      return result
    })
    changes.set(tag, turn)
    return turn.finally(() => changes.get(tag) === turn && changes.delete(tag))
  }

  return {
    create: (id, record, lifeMs, limit) =>
      change(tagOf(id), (entries) => {
        if (limit !== null && !makeRoom(entries, limit)) return false
        entries.push({ id, ...keep(record, lifeMs) })
        return true
      }),
    async find(id) {
      const entries = await read(tagOf(id))
      return entries.find((entry) => entry.id === id)?.text ?? null
    },
    replace: (id, record, next, lifeMs) =>
      change(tagOf(id), (entries) => {
        const entry = entries.find((entry) => entry.id === id && entry.text === record)
        if (!entry || !isLive(entry)) return false
        Object.assign(entry, keep(next, lifeMs))
        return true
      }),
    end: (id, reason) =>
      change(tagOf(id), (entries) => {
        for (const entry of entries) if (entry.id === id) bury(entry, reason)
      }),
    endAll: (tag, reason, exceptId) =>
      change(tag, (entries) => {
        for (const entry of entries) if (entry.id !== exceptId) bury(entry, reason)
      }),
    async list(tag) {
      return (await read(tag)).filter(isRecord).map(({ id, text }) => ({ id, record: text }))
    }
  }
}

const tagOf = (id: string) => id.slice(0, 16)
const isRecord = ({ text }: Entry) => text.includes(' ')
const isLive = ({ liveUntil }: Entry) => liveUntil > Date.now()

function keep(record: string, lifeMs: number) {
  const liveUntil = Date.now() + lifeMs
  return { text: record, liveUntil, keptUntil: liveUntil + KEPT_AFTER_LIFE_MS }
}

/** Whether a new session fits in, for which the oldest ones may have to go. */
function makeRoom(entries: Entry[], { max, evictionReason }: SessionLimit): boolean {
  const surplus = entries
    .filter(isLive)
    .reverse()
    .slice(max - 1)
  if (evictionReason === null) return surplus.length === 0
  for (const entry of surplus) bury(entry, evictionReason)
  return true
}

/** Puts the reason in the place of the record, until the record's end. */
function bury(entry: Entry, reason: string): void {
  if (isRecord(entry)) Object.assign(entry, { text: reason, liveUntil: 0, keptUntil: Number.parseInt(entry.text, 36) })
}
