import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createApp, withToken } from '../../fixtures/app.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { upstream } from '../../fixtures/tokens.js'

/** What Node.js calls to write to a socket. */
interface Writes {
  _write(chunk: string, encoding: string, done: () => void): void
  _writev(chunks: { chunk: string }[], done: () => void): void
}

/** An app, and its second connection to Redis. */
async function createWriter(t: Test) {
  const client = (await startRedis(t)).client()
  const duplicated = t.capture(client, 'duplicate', client.duplicate)
  const app = await createApp(t, { upstream, redis: client })
  const [writer] = duplicated().flatMap((call) => ('returned' in call ? [call.returned] : [])) as [Redis]
  const open = (count: number) =>
    Promise.all(Array.from({ length: count }, (_, i) => app.sessions.create({ id: `user ${i}` })))
  // From then on Redis has the script.
  await open(1)
  return { app, writer, open }
}

t.test('logins in one turn of the event loop are one write to Redis', async (t) => {
  const { open, writer } = await createWriter(t)
  const stream = writer.stream as unknown as Writes
  const many = t.capture(stream, '_writev', stream._writev)
  const single = t.capture(stream, '_write', stream._write)
  await open(10)
  await open(1)
  const writes = [...many().map(({ args: [chunks] }) => chunks), ...single().map(({ args: [chunk] }) => [{ chunk }])]
  // Not the heartbeat of the store.
  const logins = writes.map((chunks) => chunks.filter(({ chunk }) => chunk.includes('\r\ncreate\r\n')).length)
  t.strictSame(
    logins.filter((count) => count > 0),
    [10, 1]
  )
})

t.test('logins are sent again when their connection is lost in the turn', async (t) => {
  const { app, open, writer } = await createWriter(t)
  const opening = open(10)
  const lost = writer.stream
  lost.destroy()
  const sessions = await opening
  t.not(writer.stream, lost)
  for (const { token } of sessions) t.equal((await app.inject(withToken(token))).statusCode, 200)
})
