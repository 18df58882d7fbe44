import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import t from 'tap'
import { createSessionClient } from '../../lib/client/index.js'
import type { EndReason } from '../../lib/client/types.js'
import type { SessionEndReason } from '../../lib/errors.js'
import { createScene } from './scene.js'

// Does not compile when the server has a reason that the client does not have, or the other way round.
const REASONS: Record<SessionEndReason, EndReason> & Record<Exclude<EndReason, 'login_needed'>, SessionEndReason> = {
  invalid_token: 'invalid_token',
  expired: 'expired',
  logged_out: 'logged_out',
  revoked: 'revoked',
  replaced: 'replaced',
  logged_in_again: 'logged_in_again',
  unknown: 'unknown'
}

t.test('the client has at most 4 KB, minified and gzipped', async (t) => {
  const options = { bundle: true, minify: true, format: 'esm', write: false, logLevel: 'error' } as const
  const { outputFiles } = await build({ entryPoints: ['lib/client/index.ts'], ...options })
  const { length } = gzipSync(outputFiles[0]?.contents ?? '', { level: 9 })
  t.ok(length > 1_000 && length <= 4_096, `${length} bytes`)
})

t.test('where there is no window the client is loading, asks nothing and can be closed', async (t) => {
  const { fetch } = t.capture(globalThis, 'fetch') && globalThis
  const client = createSessionClient()
  for (const snapshot of [client.getSnapshot(), client.getServerSnapshot()])
    t.strictSame(snapshot, { status: 'loading' })
  t.equal(client.getServerSnapshot(), client.getServerSnapshot())
  client.subscribe(() => {})()
  client.onEnd(() => {})()
  client.close()
  await t.rejects(client.login({}))
  await t.rejects(client.fetch('/orders'))
  t.ok(fetch)
  t.throws(() => createSessionClient({ name: 'a b' }), { name: 'TypeError' })
})

t.ok(REASONS, 'client and server have the same reasons')

t.test('with a window the client is the page’s', async (t) => {
  const { browser } = createScene(t)
  t.intercept(globalThis, 'window' as never, { value: browser.open() })
  const client = createSessionClient<{ id: string; name: string }>({ events: false })
  t.strictSame(client.getSnapshot(), { status: 'signed-out', reason: null })
  t.strictSame(client.getServerSnapshot(), { status: 'loading' })
  await client.login({ username: 'ada', password: 'right' })
  const snapshot = client.getSnapshot()
  t.equal(snapshot.status === 'signed-in' && snapshot.user.name, 'name of ada')
  client.close()
})
