import { readdir } from 'node:fs/promises'
import t from 'tap'

/** Those whose requests meet no session, or that are about the way to Redis itself. */
const OTHERS =
  /^(?:architecture|bodies|cache|cache-\w+|cached|client-gone|examples|options|package|plugin|readme|memory-\w+|redis-\w+|slow-bodies|stores|upstream-\w+)\.test\.ts$/

const files = (await readdir('test')).filter((file) => file.endsWith('.test.ts') && !OTHERS.test(file))

t.test('with the cache sessions, tokens and routes behave as without it', async (t) => {
  t.ok(files.length >= 30, `${files.length} files`)
})

process.env.SESSION_CACHE = 'on'
for (const file of files) await import(`./${file}`)
