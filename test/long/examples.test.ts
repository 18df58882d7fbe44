import { once } from 'node:events'
import { cp, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import ts from 'typescript'
import { WebSocket } from 'undici'
import { startCluster } from '../fixtures/redis/start-cluster.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { startSentinel } from '../fixtures/redis/start-sentinel.js'
import { startProgram } from '../fixtures/start-program.js'
import { PASSWORD, startUpstream } from '../fixtures/upstream.js'

const SESSION_SECRET = 'a secret of this test, 32 bytes or more'

// The folder is inside the package, so that `fastify-jwt-session` resolves to the built package.
const compiled = join('.tap', 'examples')

/**
 * Compiles all examples once, because compiling at each start would be slow. Without examples/react, which has separate
 * packages and is run by test/browser.
 */
async function compileExamples(): Promise<void> {
  await cp('examples', compiled, { recursive: true, filter: (path) => path !== join('examples', 'react') })
  const files = (await readdir(compiled, { recursive: true })).filter((file) => file.endsWith('.ts'))
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 }
  for (const file of files) {
    const { outputText } = ts.transpileModule(await readFile(join(compiled, file), 'utf8'), { compilerOptions })
    await writeFile(join(compiled, file.replace(/\.ts$/, '.js')), outputText)
  }
}

t.before(compileExamples)
t.teardown(() => rm(compiled, { recursive: true }))

/** Runs an example as a reader would, and resolves to the printed URL. */
function start(t: Test, file: string, env: Record<string, string> = {}): Promise<string> {
  return startProgram(t, file.endsWith('.ts') ? ['--import', 'tsx', file] : [join(compiled, file)], env)
}

function post(url: string, body: unknown, token?: string): Promise<Response> {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
  return fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
}

interface Credentials {
  username: string
  password: string
}

/** Logs in, and returns the token with a function that sends requests. */
async function logIn(url: string, credentials: Credentials, userAgent = 'a test') {
  const headers = { 'content-type': 'application/json', 'user-agent': userAgent }
  const login = await fetch(`${url}/user/login`, { method: 'POST', headers, body: JSON.stringify(credentials) })
  const { access_token: token } = (await login.json()) as { access_token: string }
  const send = (method: string, path: string) =>
    fetch(url + path, { method, headers: { authorization: `Bearer ${token}` } })
  return { token, send }
}

/** Asserts a login, the private page, a logout, and the refused private page. */
async function assertSession(t: Test, url: string, credentials: Credentials): Promise<void> {
  const { token, send } = await logIn(url, credentials)
  const me = () => send('GET', '/me')
  t.equal((await me()).status, 200)
  t.equal((await post(`${url}/user/logout`, {}, token)).status, 204)
  const refused = await me()
  t.equal(refused.status, 401)
  t.equal(refused.headers.get('session-ended'), 'logged_out')
}

t.test('examples/basic.ts', async (t) => {
  const url = await start(t, 'examples/basic.ts')
  await assertSession(t, url, { username: 'ada', password: 'lovelace' })
  t.equal((await post(`${url}/user/login`, { username: 'ada', password: 'wrong' })).status, 401)
})

t.test('examples/redis.ts', async (t) => {
  const redis = await startRedis(t, { tcp: true })
  const { baseUrl } = await startUpstream(t)
  const url = await start(t, 'redis.js', { SESSION_SECRET, UPSTREAM_URL: baseUrl, REDIS_URL: redis.url ?? '' })
  await assertSession(t, url, { username: 'ada', password: PASSWORD })
  t.equal((await fetch(`${url}/ready`)).status, 200)
  await redis.kill()
  t.equal((await fetch(`${url}/ready`)).status, 503)
})

t.test(
  'examples/upstream-calls.ts calls the upstream as the user, with a token that the browser never sees',
  async (t) => {
    let current = 0
    const seen: string[] = []
    const { baseUrl } = await startUpstream(t, async (request, response) => {
      const { url = '', headers } = request
      seen.push(`${url.split('/').at(-1)} ${headers.authorization ?? '-'}`)
      const isGood = !url.endsWith('/orders') || headers.authorization === `Bearer access-${current}`
      if (!isGood || url.endsWith('/gone')) return response.writeHead(401).end()
      if (url.endsWith('/orders')) return response.end('["a book"]')
      current++
      response.end(JSON.stringify({ user: { id: 'ada' }, access_token: `access-${current}`, refresh_token: 'refresh' }))
    })
    const redis = await startRedis(t, { tcp: true })
    const TOKENS_SECRET = `${SESSION_SECRET}, another one`
    const env = { SESSION_SECRET, TOKENS_SECRET, UPSTREAM_URL: baseUrl, REDIS_URL: redis.url ?? '' }
    const url = await start(t, 'upstream-calls.js', env)
    const { send } = await logIn(url, { username: 'ada', password: PASSWORD })
    t.strictSame(await (await send('GET', '/orders')).json(), ['a book'])
    // The upstream forgets the access token.
    current++
    t.strictSame(await (await send('GET', '/orders')).json(), ['a book'])
    t.strictSame(seen, [
      'login -',
      'orders Bearer access-1',
      'orders Bearer access-1',
      'refresh -',
      'orders Bearer access-3'
    ])
    t.equal((await fetch(`${url}/orders`)).status, 401)
  }
)

t.test('examples/redis-cluster.ts', async (t) => {
  const [{ nodes }, { baseUrl }] = await Promise.all([startCluster(t), startUpstream(t)])
  const REDIS_NODES = nodes.map(({ host, port }) => `redis://${host}:${port}`).join(' ')
  const url = await start(t, 'examples/redis-cluster.ts', { SESSION_SECRET, UPSTREAM_URL: baseUrl, REDIS_NODES })
  await assertSession(t, url, { username: 'ada', password: PASSWORD })
})

t.test('examples/redis-sentinel.ts', async (t) => {
  const [{ sentinels }, { baseUrl }] = await Promise.all([startSentinel(t), startUpstream(t)])
  const REDIS_SENTINELS = sentinels.map(({ host, port }) => `${host}:${port}`).join(' ')
  const url = await start(t, 'examples/redis-sentinel.ts', { SESSION_SECRET, UPSTREAM_URL: baseUrl, REDIS_SENTINELS })
  await assertSession(t, url, { username: 'ada', password: PASSWORD })
})

t.test('examples/own-store.ts', async (t) => {
  const SESSION_FOLDER = await mkdtemp(join(tmpdir(), 'fjs-store-'))
  t.teardown(() => rm(SESSION_FOLDER, { recursive: true }))
  const { baseUrl } = await startUpstream(t)
  const env = { SESSION_SECRET, UPSTREAM_URL: baseUrl, SESSION_FOLDER }
  await t.rejects(
    start(t, 'own-store.js', env),
    { message: 'is not a session store' },
    'a missing folder may be an unmounted volume'
  )
  const url = await start(t, 'own-store.js', { ...env, NEW_STORE: 'yes' })
  await assertSession(t, url, { username: 'ada', password: PASSWORD })

  const { token, send } = await logIn(url, { username: 'ada', password: PASSWORD })
  const restarted = await start(t, 'own-store.js', env)
  const me = await fetch(`${restarted}/me`, { headers: { authorization: `Bearer ${token}` } })
  t.equal(me.status, 200, 'the next start finds the session')

  await rename(SESSION_FOLDER, `${SESSION_FOLDER}-gone`)
  const refused = await send('GET', '/me')
  t.equal(refused.status, 503, 'a missing folder ends no session')
  t.equal(refused.headers.get('session-ended'), null)
  await rename(`${SESSION_FOLDER}-gone`, SESSION_FOLDER)
  t.equal((await send('GET', '/me')).status, 200)
})

t.test('examples/own-upstream.ts', async (t) => {
  const url = await start(t, 'own-upstream.js')
  const credentials = { username: 'ada', password: 'countess of lovelace' }
  t.equal((await post(`${url}/user/login`, credentials)).status, 401)
  t.equal((await post(`${url}/user/register`, credentials)).status, 201)
  t.equal((await post(`${url}/user/register`, credentials)).status, 409)
  t.equal((await post(`${url}/user/register`, { ...credentials, password: 'short' })).status, 422)
  await assertSession(t, url, credentials)
})

t.test('examples/websocket.ts', async (t) => {
  const url = await start(t, 'websocket.js')
  const { token, send } = await logIn(url, { username: 'ada', password: 'x' })
  const socket = new WebSocket(`${url.replace('http', 'ws')}/chat`, ['bearer', token])
  t.teardown(() => socket.close())
  await once(socket, 'open')
  const answered = once(socket, 'message')
  socket.send('hello')
  t.equal((await answered)[0].data, 'ada: hello')
  const closed = once(socket, 'close')
  await send('POST', '/user/logout')
  t.equal((await closed)[0].code, 4401)
  const refused = new WebSocket(`${url.replace('http', 'ws')}/chat`, ['bearer', token])
  await once(refused, 'error')
})

t.test('examples/sse.ts', async (t) => {
  const url = await start(t, 'sse.js')
  t.equal((await fetch(`${url}/prices`)).status, 401)
  const { send } = await logIn(url, { username: 'ada', password: 'x' })
  const prices = await send('GET', '/prices')
  t.equal(prices.headers.get('content-type'), 'text/event-stream')
  let received = ''
  for await (const chunk of prices.body ?? []) {
    if (received === '') await send('POST', '/user/logout')
    received += Buffer.from(chunk)
  }
  t.match(received, /^data: \d+\n\n/)
  t.match(received, /event: ended\ndata: logged_out\n\n$/)
})

t.test('examples/demo', async (t) => {
  const credentials = { username: 'grace', password: 'nanoseconds of wire' }

  async function assertPage(t: Test, url: string): Promise<void> {
    const page = await fetch(url)
    t.match(page.headers.get('content-type'), 'text/html')
    t.match(page.headers.get('content-security-policy'), "script-src 'self';")
    const html = await page.text()
    t.notMatch(
      html,
      /<script(?! type="module" src=)|<style|\s(?:on\w+|style)=/,
      'the content security policy allows the page'
    )
    for (const [, path = ''] of html.matchAll(/(?:src|href)="(\/[^"]+)"/g)) await assertServed(path)

    async function assertServed(path: string): Promise<void> {
      const file = await fetch(url + path)
      t.equal(file.status, 200, path)
      for (const [, imported = ''] of (await file.text()).matchAll(/ from '(\.[^']+)'/g)) {
        await assertServed(new URL(imported, url + path).pathname)
      }
    }
  }

  async function assertSessions(t: Test, url: string): Promise<void> {
    const [laptop, phone, tablet] = [
      await logIn(url, credentials, 'laptop'),
      await logIn(url, credentials, 'phone'),
      await logIn(url, credentials, 'tablet')
    ]
    const listed = (await (await laptop.send('GET', '/user/sessions')).json()) as { id: string }[]
    t.match(listed, [
      { user_agent: 'laptop', ip: '127.0.0.1', current: true },
      { user_agent: 'phone', current: false },
      { user_agent: 'tablet', current: false }
    ])

    async function assertEnded({ send }: typeof laptop, reason: string): Promise<void> {
      const refused = await send('GET', '/user/session')
      t.equal(refused.headers.get('session-ended'), reason)
      t.equal(refused.headers.get('clear-site-data'), '"storage"')
    }

    t.equal((await laptop.send('DELETE', `/user/sessions/${listed[1]?.id}`)).status, 204)
    await assertEnded(phone, 'revoked')
    t.equal((await tablet.send('DELETE', '/user/sessions')).status, 204)
    await assertEnded(laptop, 'revoked')
    for (let login = 0; login < 3; login++) await logIn(url, credentials)
    await assertEnded(tablet, 'replaced')
  }

  async function assertDemo(t: Test, url: string): Promise<void> {
    await assertPage(t, url)
    t.equal((await post(`${url}/user/register`, { ...credentials, email: 'grace@example.com' })).status, 201)
    await assertSession(t, url, credentials)
    await assertSessions(t, url)
  }

  await t.test('the demo works without Redis', async (t) =>
    assertDemo(t, await start(t, 'examples/demo/server.ts', { REDIS_URL: '' }))
  )

  await t.test('the demo stores sessions in Redis with REDIS_URL', async (t) => {
    const redis = await startRedis(t, { tcp: true })
    const url = await start(t, 'demo/server.js', { REDIS_URL: redis.url ?? '' })
    await assertDemo(t, url)
    t.ok(await redis.client().dbsize())
  })

  await t.test('the demo shows a short name of the device of a session', async (t) => {
    const file: string = pathToFileURL('examples/demo/page/device-name.js').href
    const { deviceName } = (await import(file)) as { deviceName(userAgent: string | null): string }
    const webKit = 'AppleWebKit/537.36 (KHTML, like Gecko)'
    const cases = {
      [`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${webKit} Chrome/140.0.0.0 Safari/537.36`]: 'Chrome on Windows',
      [`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${webKit} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0`]:
        'Edge on Windows',
      [`Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${webKit} Chrome/140.0.0.0 Safari/537.36 OPR/124.0.0.0`]:
        'Opera on ChromeOS',
      [`Mozilla/5.0 (Linux; Android 10; K) ${webKit} Chrome/140.0.0.0 Mobile Safari/537.36`]: 'Chrome on Android',
      [`Mozilla/5.0 (Linux; Android 10; K) ${webKit} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36`]:
        'Samsung Internet on Android',
      'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0': 'Firefox on Linux',
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15':
        'Safari on macOS',
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.0.0 Mobile/15E148 Safari/604.1':
        'Chrome on iPhone',
      'curl/8.5.0': 'curl/8.5.0',
      'Mozilla/5.0 (compatible; ExampleBot/2.1)': 'Mozilla/5.0 (compatible; ExampleBot/2.1)',
      '<b>Chrome</b>': '<b>Chrome</b>',
      '': 'Unknown device'
    }
    for (const [userAgent, name] of Object.entries(cases)) t.equal(deviceName(userAgent), name)
    t.equal(deviceName(null), 'Unknown device')
  })

  await t.test('the demo refuses a wrong setting with one sentence', async (t) => {
    async function assertRefused(name: string, value: string): Promise<void> {
      const error: Error = await start(t, 'demo/server.js', { [name]: value }).then(
        () => new Error('started'),
        (error) => error
      )
      t.match(error.message, new RegExp(`ended: [^\\n]*${name}[^\\n]*\\n$`))
    }
    const cases = { PORT: '70000', SESSION_SECRET: 'short', REDIS_URL: 'http://x' }
    await Promise.all(Object.entries(cases).map(([name, value]) => assertRefused(name, value)))
  })
})

t.test('README shows examples/basic.ts unchanged', async (t) => {
  const [readme, basic] = await Promise.all([readFile('README.md', 'utf8'), readFile('examples/basic.ts', 'utf8')])
  t.ok(readme.includes(`\`\`\`ts\n${basic}\`\`\``))
})

t.test('lib/store/README.md shows examples/table-store.ts unchanged', async (t) => {
  const paths = ['lib/store/README.md', 'examples/table-store.ts']
  const [readme = '', example = ''] = await Promise.all(paths.map((path) => readFile(path, 'utf8')))
  t.ok(readme.includes(`\`\`\`ts\n${example}\`\`\``))
})
