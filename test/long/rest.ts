// npm run test:rest: all that `npm test` leaves out, one program after the other, because most of them measure time.
import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** The programs, with arguments that make them short. Their defaults are for the days before a release. */
const PROGRAMS = [
  ['test:long', '--reporter=tap'],
  ['test:fuzz', '--tokens=100000', '--bodies=10000'],
  ['test:ledger', '10000', '1000'],
  ['test:overload', '15'],
  ['test:failover', '2'],
  ['test:faults'],
  ['test:idle'],
  ['test:soak', '3']
] as const

const failed: string[] = []
for (const [name, ...args] of PROGRAMS) {
  const startedAt = performance.now()
  const [code] = await once(spawn('npm', ['run', name, '--', ...args], { stdio: 'inherit' }), 'exit')
  const seconds = Math.round((performance.now() - startedAt) / 1_000)
  console.log(`${code === 0 ? 'PASSED' : 'FAILED'} ${name}, ${seconds} s`)
  if (code !== 0) failed.push(name)
}
process.exitCode = failed.length === 0 ? 0 : 1
