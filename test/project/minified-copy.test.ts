import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import Fastify from 'fastify'
import t from 'tap'
import * as lib from '../../lib/index.js'
import { SECRET } from '../fixtures/planted-secrets.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { upstream } from '../fixtures/tokens.js'

/** Loads a minified copy of the package with all dependencies, with other classes under other names. */
async function loadMinified(): Promise<typeof lib> {
  const folder = await mkdtemp(join('test', '.minified-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const outfile = join(folder, 'index.mjs')
  await build({
    entryPoints: ['lib/index.ts'],
    outfile,
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'esm',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" },
    logLevel: 'error'
  })
  return import(pathToFileURL(outfile).href)
}

const copy = await loadMinified()
const login = { method: 'POST', url: '/user/login', payload: { username: 'ada', password: 'x' } } as const

t.test('the guard of one copy works in an app that has registered another copy', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.get('/me', { preHandler: lib.verifySession }, async ({ session }) => session.user)
  await app.register(copy.fastifyJwtSession, { jwt: { secret: SECRET }, upstream })
  t.equal((await app.inject('/me')).json().code, 'FST_JWT_SESSION_MISSING')
  const authorization = `Bearer ${(await app.inject(login)).json().access_token}`
  t.strictSame((await app.inject({ url: '/me', headers: { authorization } })).json(), { id: 'ada' })
})

t.test('an upstream may throw the errors of another copy', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const refusing = { login: () => Promise.reject(new lib.CredentialsRejectedError()) }
  await app.register(copy.fastifyJwtSession, { jwt: { secret: SECRET }, upstream: refusing })
  t.equal((await app.inject(login)).json().code, 'FST_JWT_SESSION_CREDENTIALS_REJECTED')
})

t.test('a minified copy distinguishes an error of Redis from a Redis that does not respond', async (t) => {
  const redis = await startRedis(t, { tcp: true })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(copy.fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream,
    redis: { url: redis.url },
    breaker: { store: { probeAfterMs: 60_000 } }
  })
  app.get('/me', { preHandler: copy.verifySession }, async ({ session }) => session.user)
  const authorization = `Bearer ${(await app.inject(login)).json().access_token}`
  await redis.client().config('SET', 'maxmemory', '1')
  for (let i = 0; i < 10; i++) t.equal((await app.inject(login)).statusCode, 503)
  t.equal((await app.inject({ url: '/me', headers: { authorization } })).statusCode, 200, 'the circuit is closed')
})
