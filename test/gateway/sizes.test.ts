import t from 'tap'
import { MAX_TOKEN_LENGTH } from '../../lib/token/token-format.js'
import type { ProxyName } from './programs.js'
import { startScene } from './scene.js'

for (const proxy of ['nginx', 'caddy'] satisfies ProxyName[]) {
  t.test(`${proxy}: the largest token passes`, async (t) => {
    let size = 0
    const claims = () => ({ text: 'x'.repeat(size) })
    const { visit, open, served } = await startScene(t, proxy, {
      options: { jwt: { secret: 'a secret of large tokens, 32 bytes', claims } },
      claims
    })
    // Four letters are three bytes.
    size = Math.floor(((MAX_TOKEN_LENGTH - (await open()).token.length) * 3) / 4) - 2
    const { token } = await open()
    t.ok(token.length > MAX_TOKEN_LENGTH - 8)
    size -= 200
    t.equal((await visit('/', { token })).status, 200)
    t.ok(String(served[0]?.headers['session-token']).length > MAX_TOKEN_LENGTH - 400)
  })
}
