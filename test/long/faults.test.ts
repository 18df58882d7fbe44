import t, { type Test } from 'tap'
import { CLOCK_FAULTS } from './faults/clocks.js'
import type { Fault } from './faults/fault.js'
import { FAULTS } from './faults/faults.js'
import { nameOf } from './faults/idle-roles.js'
import { runIdle } from './faults/idle-run.js'
import { QUICK_IDLE_WAYS } from './faults/idle-ways.js'
import { BACK_WITHIN_MS } from './faults/judge.js'
import { runFault } from './faults/run-fault.js'

/** Runs each fault once. `npm run test:faults` and `npm run test:idle` are the long parts. */
async function test(t: Test, faults: readonly Fault[]): Promise<void> {
  for (const fault of faults) {
    t.test(fault.name, async (t) => {
      for (const { subject, backAfterMs, broken } of await runFault(fault, { parallel: 2, lastsMs: 1_000 })) {
        t.strictSame(broken, [], subject.name)
        t.ok(backAfterMs < BACK_WITHIN_MS, `${subject.name} is back after ${Math.round(backAfterMs)} ms`)
      }
    })
  }
}

t.test('no fault of Redis ends a session, and every operation works after the fault', async (t) => {
  // The tests mostly wait.
  t.jobs = 3
  await test(t, FAULTS)
})

t.test(
  'an outage longer than the idle timeout logs no active user out, and keeps no idle user logged in',
  async (t) => {
    t.jobs = 3
    for (const way of QUICK_IDLE_WAYS) {
      t.test(way.name, async (t) => {
        for (const { role, active, idle } of await runIdle(way, 'quick')) {
          const broken = [...active, idle].flatMap((user) => [...user.broken])
          t.strictSame(broken, [], nameOf(role))
        }
      })
    }
  }
)

t.test('with a wrong clock sessions end only at the expiry by the wrong clock', async (t) => {
  await test(t, CLOCK_FAULTS)
})
