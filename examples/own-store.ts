import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Fastify from 'fastify'
import fastifyJwtSession, { type SessionStore } from 'fastify-jwt-session'

/** Sessions as files: one machine, no Redis, and a restart logs nobody out. */
async function createFileStore(folder: string): Promise<SessionStore> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  // The plugin's ids are 32 characters of A-Za-z0-9_-: safe as a file name.
  const pathOf = (id: string) => join(folder, id)

  return {
    async create(id, record, ttlMs) {
      const text = JSON.stringify({ record, expiresAt: Date.now() + ttlMs })
      // Renamed when it is whole: nobody finds half a record.
      await writeFile(`${pathOf(id)}.new`, text, { mode: 0o600 })
      await rename(`${pathOf(id)}.new`, pathOf(id))
    },
    async find(id) {
      try {
        const { record, expiresAt } = JSON.parse(await readFile(pathOf(id), 'utf8'))
        if (expiresAt > Date.now()) return record
        await rm(pathOf(id), { force: true })
        return null
      } catch (error) {
        // Only a file that is not there means "not found". A disk that cannot be read must not log anybody out.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
        throw error
      }
    },
    async delete(id) {
      await rm(pathOf(id), { force: true })
    }
  }
}

const { SESSION_SECRET, USERS_URL, SESSION_FOLDER = './sessions', PORT = '3000' } = process.env
if (!SESSION_SECRET || !USERS_URL) throw new Error('Set SESSION_SECRET (32 bytes or more) and USERS_URL')

const app = Fastify({ logger: true })
await app.register(fastifyJwtSession, {
  jwt: { secret: SESSION_SECRET },
  store: await createFileStore(SESSION_FOLDER),
  upstream: { baseUrl: USERS_URL }
})
app.get('/me', { preHandler: app.verifySession }, async (request) => request.session.user)

await app.listen({ port: Number(PORT) })
