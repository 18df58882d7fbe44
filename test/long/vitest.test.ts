import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { unwatched } from '../fixtures/unwatched.js'

const run = promisify(execFile)

/** The packages of the lock file, with the library as npm would publish it; `npm run test:long` has built it. */
async function installProject(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fjs-vitest-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await run(...unwatched('npm', 'pack', '--ignore-scripts', '--pack-destination', folder))
  const [tarball = ''] = await readdir(folder)
  for (const name of ['.npmrc', 'package.json', 'package-lock.json']) {
    await cp(join('test/long/vitest', name), join(folder, name))
    const text = await readFile(join(folder, name), 'utf8')
    await writeFile(join(folder, name), text.replaceAll('file:../../..', `file:${tarball}`))
  }
  await run(...unwatched('npm', 'ci', '--prefer-offline', '--no-audit', '--no-fund'), { cwd: folder })
  return folder
}

interface VitestReport {
  numPassedTests: number
  numFailedTests: number
  testResults: { assertionResults: { title: string; status: string; failureMessages: string[] }[] }[]
}

async function runVitest(folder: string, program: string): Promise<VitestReport> {
  await writeFile(join(folder, 'app.test.ts'), program)
  const command = unwatched(process.execPath, 'node_modules/vitest/vitest.mjs', 'run', '--reporter=json')
  const { stdout } = await run(...command, { cwd: folder }).catch((error: { stdout: string }) => error)
  return JSON.parse(stdout.slice(stdout.indexOf('{"num')))
}

t.test('the four tests of the manual run with Vitest', { timeout: 600_000 }, async (t) => {
  const folder = await installProject(t)
  const example = await readFile('examples/testing.ts', 'utf8')
  const program = example.replace("import { test } from 'node:test'", "import { test } from 'vitest'")
  t.not(program, example)
  const report = await runVitest(folder, program)
  t.match(report, { numPassedTests: 4, numFailedTests: 0 })

  const unguarded = await runVitest(folder, program.replace('{ preHandler: verifySession }', '{}'))
  const failures = unguarded.testResults.flatMap(({ assertionResults }) => assertionResults)
  const ended = failures.find(({ title }) => title === 'a client learns that its session has ended')
  t.match(ended, { status: 'failed', failureMessages: [/^AssertionError.*- status: got 500, expected 401\n/s] })
})
