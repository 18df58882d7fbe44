import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { manualAt } from '../fixtures/manuals.js'
import { compileSnippets, snippetsOf } from '../fixtures/snippets.js'
import { unwatched } from '../fixtures/unwatched.js'

const run = promisify(execFile)

// Inside the package, or inside its compiled code: there `fastify-jwt-session` is the package itself.
const folder = join(import.meta.dirname, '..', '..', '.tap', 'testing')
const example = await readFile('examples/testing.ts', 'utf8')

t.before(() => rm(folder, { recursive: true, force: true }))

/** What `node --test` reports about the program: the names of passed and of failed tests. */
async function runTests(name: string, program: string): Promise<{ passed: string[]; failed: string[] }> {
  const { [name]: file = '' } = await compileSnippets(folder, { [name]: program })
  const { stdout } = await run(...unwatched(process.execPath, '--test', '--test-reporter=tap', file)).catch(
    (error: { stdout: string }) => error
  )
  const names = (pattern: RegExp) => Array.from(stdout.matchAll(pattern), ([, name = '']) => name)
  return { passed: names(/^ *ok \d+ - (.*)$/gm), failed: names(/^ *not ok \d+ - (.*)$/gm) }
}

const NAMES = Array.from(example.matchAll(/^test\('(.*)',/gm), ([, name = '']) => name)

t.test('the manual shows the four tests of the example, which pass with node:test', async (t) => {
  const [shown] = snippetsOf(manualAt('lib/testing/README.md'))
  t.equal(shown?.code, example)
  t.equal(example.split('\n')[2], "import { test } from 'node:test'", 'the line that differs with Vitest')
  t.equal(NAMES.length, 4)
  const { passed, failed } = await runTests('testing', example)
  t.strictSame(passed.slice(0, 4), NAMES)
  t.strictSame(failed, [])
})

t.test('each of the four tests fails for an app that is wrong', async (t) => {
  const wrong: [name: string, from: string, to: string][] = [
    ['orders need a session', '{ preHandler: verifySession }', '{}'],
    [
      'a client learns',
      '  return app\n',
      "  app.addHook('onSend', async (_request, reply) => reply.removeHeader('session-ended'))\n  return app\n"
    ],
    [
      'an outage',
      '  return app\n',
      "  app.addHook('onSend', async (_request, reply) => reply.statusCode === 503 && reply.header('session-ended', 'unknown'))\n  return app\n"
    ],
    ['a login needs', '...options })', '...options, upstream: { login: async () => ({ user: { id: 1 } }) } })']
  ]
  for (const [index, [name, from, to]] of wrong.entries()) {
    const { failed } = await runTests(
      `wrong-${index}`,
      example.replace(from, () => to)
    )
    t.ok(
      failed.some((test) => test.startsWith(name)),
      name
    )
  }
})

t.test('a test that waits for a hanging upstream or store ends', async (t) => {
  const program = example.replace(
    /^test\('a login needs.*/ms,
    `test('a hanging upstream', async () => {
      upstream.hang()
      const payload = { username: 'ada', password: 'lovelace' }
      const { statusCode } = await app.inject({ method: 'POST', url: '/user/login', payload })
      assert.equal(statusCode, 504)
      await upstream.listen()
    })
    test('a hanging store', async () => {
      const ada = await loginAs(app, user)
      store.hang()
      assertUnavailable(await ada.inject('/orders'))
    })`
  )
  const { passed, failed } = await runTests(
    'hang',
    program.replace("password: 'lovelace' }]", "password: 'lovelace' }], timeoutMs: 200")
  )
  t.ok(passed.includes('a hanging upstream') && passed.includes('a hanging store'), `${passed}`)
  t.strictSame(failed, [])
})
