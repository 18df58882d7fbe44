import { rm } from 'node:fs/promises'
import t from 'tap'
import { manualAt } from '../fixtures/manuals.js'
import { snippetsOf } from '../fixtures/snippets.js'
import { example, folder, runTests } from '../fixtures/testing-example.js'

t.before(() => rm(folder, { recursive: true, force: true }))

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
    program.replace("password: 'lovelace' }]", "password: 'lovelace' }], timeoutMs: 1_000")
  )
  t.ok(passed.includes('a hanging upstream') && passed.includes('a hanging store'), `${passed}`)
  t.strictSame(failed, [])
})
