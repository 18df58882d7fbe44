import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startRedis } from './fixtures/redis/start-redis.js'
import { PASSWORD, startUpstream } from './fixtures/upstream.js'

const SESSION_SECRET = 'a secret of this test, 32 bytes or more'

/** Runs an example as its reader would, and resolves to the URL that it prints. Ended at teardown, by its id. */
async function start(t: Test, file: string, env: Record<string, string> = {}): Promise<string> {
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    env: { ...process.env, NODE_ENV: 'development', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => end(child))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const exited = once(child, 'exit').then(() => Promise.reject(new Error(`${file} ended: ${output}`)))
  while (true) {
    const [url] = /http:\/\/(?:127\.0\.0\.1|\[::1\]):\d+/.exec(output) ?? []
    if (url !== undefined) return url
    await Promise.race([once(child.stdout, 'data'), exited])
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  child.kill()
  await once(child, 'exit')
}

function post(url: string, body: unknown, token?: string): Promise<Response> {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
  return fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
}

/** Logs in, looks at the private page, logs out, and looks again. */
async function assertSession(t: Test, url: string, credentials: { username: string; password: string }): Promise<void> {
  const login = await post(`${url}/user/login`, credentials)
  t.equal(login.status, 200)
  const { access_token: token } = (await login.json()) as { access_token: string }
  const me = () => fetch(`${url}/me`, { headers: { authorization: `Bearer ${token}` } })
  t.equal((await me()).status, 200)
  t.equal((await post(`${url}/user/logout`, {}, token)).status, 204)
  const refused = await me()
  t.equal(refused.status, 401)
  t.equal(refused.headers.get('session-ended'), 'unknown')
}

t.test('examples/basic.ts', async (t) => {
  const url = await start(t, 'examples/basic.ts')
  await assertSession(t, url, { username: 'ada', password: 'lovelace' })
  t.equal((await post(`${url}/user/login`, { username: 'ada', password: 'wrong' })).status, 401)
})

t.test('examples/redis.ts', async (t) => {
  const redis = await startRedis(t, { tcp: true })
  const { baseUrl } = await startUpstream(t)
  const url = await start(t, 'examples/redis.ts', { SESSION_SECRET, USERS_URL: baseUrl, REDIS_URL: redis.url ?? '' })
  await assertSession(t, url, { username: 'ada', password: PASSWORD })
  t.equal((await fetch(`${url}/ready`)).status, 200)
  await redis.kill()
  t.equal((await fetch(`${url}/ready`)).status, 503)
})

t.test('examples/own-store.ts', async (t) => {
  const SESSION_FOLDER = await mkdtemp(join(tmpdir(), 'fjs-store-'))
  t.teardown(() => rm(SESSION_FOLDER, { recursive: true }))
  const { baseUrl } = await startUpstream(t)
  const url = await start(t, 'examples/own-store.ts', { SESSION_SECRET, USERS_URL: baseUrl, SESSION_FOLDER })
  await assertSession(t, url, { username: 'ada', password: PASSWORD })
})

t.test('examples/own-upstream.ts', async (t) => {
  const url = await start(t, 'examples/own-upstream.ts')
  const credentials = { username: 'ada', password: 'countess of lovelace' }
  t.equal((await post(`${url}/user/login`, credentials)).status, 401)
  t.equal((await post(`${url}/user/register`, credentials)).status, 201)
  t.equal((await post(`${url}/user/register`, credentials)).status, 409)
  t.equal((await post(`${url}/user/register`, { ...credentials, password: 'short' })).status, 422)
  await assertSession(t, url, credentials)
})

t.test('the demo', async (t) => {
  const account = { username: 'ada', password: 'countess of lovelace', email: 'ada@example.com' }

  async function assertDemo(t: Test, url: string): Promise<void> {
    const page = await fetch(url)
    t.match(page.headers.get('content-type'), 'text/html')
    for (const [, path = ''] of (await page.text()).matchAll(/(?:src|href)="(\/[^"]+)"/g)) {
      t.equal((await fetch(url + path)).status, 200, path)
    }
    t.equal((await post(`${url}/user/register`, account)).status, 201)
    await assertSession(t, url, { username: account.username, password: account.password })

    const login = await post(`${url}/user/login`, { username: account.username, password: account.password })
    const { access_token: token } = (await login.json()) as { access_token: string }
    const elsewhere = await post(`${url}/end-elsewhere`, {}, token)
    t.equal(elsewhere.status, 204)
    t.equal(elsewhere.headers.get('session-ended'), null, 'the page is not told by this answer')
    const me = await fetch(`${url}/me`, { headers: { authorization: `Bearer ${token}` } })
    t.equal(me.headers.get('clear-site-data'), '"storage"')
  }

  await t.test('needs no Redis', async (t) => assertDemo(t, await start(t, 'examples/demo/server.ts')))

  await t.test('keeps its sessions in Redis when it is told to', async (t) => {
    const redis = await startRedis(t, { tcp: true })
    const url = await start(t, 'examples/demo/server.ts', { REDIS_URL: redis.url ?? '' })
    await assertDemo(t, url)
    const stats = await redis.client().info('commandstats')
    t.match(stats, /cmdstat_set:calls=2/)
  })

  await t.test('says in one sentence what is wrong with what it was given', async (t) => {
    const cases = [{ PORT: '70000' }, { SESSION_SECRET: 'short' }, { REDIS_URL: 'http://x' }]
    for (const env of cases) {
      const [name = ''] = Object.keys(env)
      const error: Error = await start(t, 'examples/demo/server.ts', env).then(
        () => new Error('started'),
        (error) => error
      )
      t.match(error.message, new RegExp(`ended: [^\\n]*${name}[^\\n]*\\n$`))
    }
  })
})

t.test('README shows examples/basic.ts as it is', async (t) => {
  const [readme, basic] = await Promise.all([readFile('README.md', 'utf8'), readFile('examples/basic.ts', 'utf8')])
  t.ok(readme.includes(`\`\`\`ts\n${basic}\`\`\``))
})
