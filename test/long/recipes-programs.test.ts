import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { codeOf } from '../fixtures/recipes.js'
import { unwatched } from '../fixtures/unwatched.js'
import { PASSWORD, startUpstream } from '../fixtures/upstream.js'

// The folder is inside the package, so that `fastify-jwt-session` resolves to the built package.
const folder = join(process.cwd(), '.tap', 'recipe-programs')
t.before(() => mkdir(folder, { recursive: true }))
t.teardown(() => rm(folder, { recursive: true }))

/** Writes a recipe into a file, runs the command in the folder, and resolves to the printed URL. */
async function start(t: Test, heading: string, file: string, command: string[]): Promise<string> {
  await writeFile(join(folder, file), codeOf(heading))
  const { baseUrl } = await startUpstream(t)
  const SESSION_SECRET = 'a secret of this test, 32 bytes or more'
  const env = { ...process.env, SESSION_SECRET, UPSTREAM_URL: baseUrl, PORT: '0', FASTIFY_ADDRESS: '127.0.0.1' }
  const child = spawn(...unwatched(process.execPath, ...command), {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(async () => {
    if (child.exitCode !== null) return
    child.kill()
    await once(child, 'exit')
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const exited = once(child, 'exit').then(() => Promise.reject(new Error(`The program ended: ${output}`)))
  while (true) {
    const [url] = /http:\/\/(?:127\.0\.0\.1|\[::1\]):\d+/.exec(output) ?? []
    if (url !== undefined) return url
    await Promise.race([once(child.stdout, 'data'), exited])
  }
}

async function assertGuards(t: Test, url: string): Promise<void> {
  t.equal((await fetch(`${url}/me`)).status, 401)
  const body = JSON.stringify({ username: 'ada', password: PASSWORD })
  const headers = { 'content-type': 'application/json' }
  const login = await fetch(`${url}/user/login`, { method: 'POST', headers, body })
  const { access_token: token } = (await login.json()) as { access_token: string }
  const me = await fetch(`${url}/me`, { headers: { authorization: `Bearer ${token}` } })
  t.strictSame(await me.json(), { id: 'ada' })
}

t.test('fastify-cli starts the app with the exported options', async (t) => {
  const cli = join(process.cwd(), 'node_modules', 'fastify-cli', 'cli.js')
  const url = await start(t, 'fastify-cli', 'app.js', [cli, 'start', '--options', '--log-level', 'info', 'app.js'])
  await assertGuards(t, url)
  t.equal((await fetch(`${url}/me/`)).status, 401, 'the route is found with a trailing slash')
})

t.test('a program in CommonJS requires the package', async (t) => {
  await assertGuards(t, await start(t, 'CommonJS', 'app.cjs', ['app.cjs']))
})

t.test('node:test loads the package', async (t) => {
  await writeFile(
    join(folder, 'guard.test.cjs'),
    `const { test } = require('node:test')
     const { verifySession } = require('fastify-jwt-session')
     test('the export exists', () => verifySession.call)`
  )
  const child = spawn(...unwatched(process.execPath, '--test', 'guard.test.cjs'), { cwd: folder, stdio: 'ignore' })
  const [code] = await once(child, 'exit')
  t.equal(code, 0, "the recipe 'Jest' recommends node:test")
})
