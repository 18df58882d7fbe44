import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import t from 'tap'
import { unwatched } from '../fixtures/unwatched.js'
import { findProxy } from './programs.js'

const ARGS = ['--import', 'tsx', 'examples/demo/gateway.ts']

/** Runs the demo, until the program ends by itself or by a signal of the test. */
async function run(env: Record<string, string>) {
  const child = spawn(...unwatched(process.execPath, ...ARGS), {
    env: { ...process.env, NODE_ENV: 'development', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = once(child, 'close')
  const url = async () => {
    while (child.exitCode === null) {
      const [found] = /http:\/\/127\.0\.0\.1:\d+/.exec(output) ?? []
      if (found !== undefined) return found
      await Promise.race([once(child.stdout, 'data'), ended])
    }
    throw new Error(output)
  }
  return { child, ended, url, output: () => output }
}

const folders = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('fastify-jwt-session-demo-'))

t.test('the demo shows a login, a private page of the main server and an end, behind nginx', async (t) => {
  const { child, ended, url, output } = await run({ NGINX: await findProxy('nginx') })
  t.teardown(async () => {
    if (child.exitCode === null) child.kill('SIGKILL')
  })
  const origin = await url()
  const post = (path: string, body: object, headers = {}) =>
    fetch(origin + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body)
    })
  for (const path of ['/', '/app.js', '/style.css', '/client/index.js']) {
    const answer = await fetch(origin + path)
    t.equal(answer.status, 200, path)
    t.match(answer.headers.get('server'), 'nginx')
    await answer.text()
  }
  t.equal((await fetch(`${origin}/me`)).status, 401)

  const credentials = { username: 'ada', password: 'countess of lovelace' }
  t.equal((await post('/user/register', { ...credentials, email: 'ada@example.com' })).status, 201)
  const { access_token: token } = (await (await post('/user/login', credentials)).json()) as { access_token: string }
  const headers = { authorization: `Bearer ${token}` }
  const me = await fetch(`${origin}/me`, { headers })
  t.match(await me.json(), { id: /^[\w-]{16}$/, name: 'ada', email: 'ada@example.com' })
  const events = await fetch(`${origin}/user/session/events`, { headers })
  t.match(
    Buffer.from((await events.body?.getReader().read())?.value ?? '').toString(),
    'retry:',
    'a stream is not held back'
  )
  const sessions = (await (await fetch(`${origin}/user/sessions`, { headers })).json()) as unknown
  t.match(sessions, [{ ip: '127.0.0.1' }])

  t.equal((await post('/user/logout', {}, headers)).status, 204)
  const refused = await fetch(`${origin}/me`, { headers })
  t.equal(refused.status, 401)
  t.equal(refused.headers.get('session-ended'), 'logged_out')

  child.kill('SIGINT')
  t.strictSame(await ended, [0, null], output())
  await t.rejects(fetch(origin), 'nginx has ended too')
  t.strictSame(await folders(), [])
})

t.test('a closed terminal ends the demo and nginx', async (t) => {
  const { child, ended, url, output } = await run({ NGINX: await findProxy('nginx') })
  t.teardown(async () => {
    if (child.exitCode === null) child.kill('SIGKILL')
  })
  const origin = await url()
  child.kill('SIGHUP')
  t.strictSame(await ended, [0, null], output())
  await t.rejects(fetch(origin), 'nginx has ended too')
  t.strictSame(await folders(), [])
})

t.test('without nginx the demo says how to get nginx', async (t) => {
  const { ended, output } = await run({ NGINX: '/there/is/no/nginx' })
  t.strictSame(await ended, [1, null])
  t.match(output(), /^The demo needs nginx: install nginx, .*\.\n$/)
  t.strictSame(await folders(), [])
})

t.test('a port that is taken is an error of one line', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const { ended, output } = await run({ NGINX: await findProxy('nginx'), PORT: String(port) })
  t.strictSame(await ended, [1, null])
  t.match(output(), `nginx does not start on port ${port}: `)
  t.match(output(), /Address already in use/)
})
