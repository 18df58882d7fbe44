// npm run test:rest: the programs that `npm test` omits, in sequence, because most programs measure time. The last line
// is `N passed, N failed`: the assertions of the tests, and one result for each other program.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** The programs with arguments for short runs. The defaults are for releases. */
const PROGRAMS: readonly (readonly [string, ...string[]])[] = [
  ['typecheck'],
  ['test:long', '--reporter=tap'],
  ['test:browser', '--reporter=tap'],
  ['test:gateway', '--reporter=tap'],
  ['test:fuzz', '--tokens=50000', '--bodies=5000'],
  ['test:ledger', '2000', '200'],
  ['test:streams'],
  ['test:overload', '10'],
  ['test:failover', '1'],
  ['test:faults', '--short'],
  ['test:idle', 'out of memory', 'SIGSTOP'],
  ['test:soak', '1']
]

const TAP = ['tap', '--disable-coverage', '--jobs=1', '--timeout=1800', '--reporter=tap']

interface Outcome {
  passed: number
  failed: number
  /** Failed test files. */
  files: string[]
}

/** Runs a program, and prints all lines except passed assertions. */
async function run(command: string, args: readonly string[]): Promise<Outcome> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  for await (const line of createInterface(child.stdout)) {
    output += `${line}\n`
    if (!/^ *(?:ok |# Subtest|1\.\.|# time=|$)/.test(line)) console.log(line)
  }
  const [code] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode]
  const [, pass, fail = '0'] = /^# \{ total: \d+, pass: (\d+)(?:, fail: (\d+))?/m.exec(output) ?? []
  return {
    passed: pass === undefined ? Number(code === 0) : Number(pass),
    failed: Math.max(Number(fail), Number(code !== 0)),
    files: [...output.matchAll(/^not ok \d+ - (test\/\S+\.test\.ts)/gm)].map(([, file = '']) => file)
  }
}

const sum = { passed: 0, failed: 0 }
for (const [name, ...args] of PROGRAMS) {
  const startedAt = performance.now()
  const command = ['run', name, '--', ...args]
  let { passed, failed, files } = await run('npm', command)
  if (failed > 0) {
    // A pause of the whole machine looks like a slow reply, so failed files run once more.
    console.log(`ONCE MORE ${name} ${files.join(' ')}`)
    const again = files.length > 0 ? await run('npx', [...TAP, ...files]) : await run('npm', command)
    passed = files.length > 0 ? passed + again.passed : again.passed
    failed = again.failed
  }
  console.log(`${failed === 0 ? 'PASSED' : 'FAILED'} ${name}, ${Math.round((performance.now() - startedAt) / 1_000)} s`)
  sum.passed += passed
  sum.failed += failed
}
process.exitCode = sum.failed === 0 ? 0 : 1
console.log(`${sum.passed} passed, ${sum.failed} failed`)
