import t, { type Test } from 'tap'
import { runPlannedFailover } from './failover/planned.js'
import { type Fault, runRound } from './failover/round.js'
import { SETUPS, type SetupName } from './failover/setup.js'
import { startApp } from './failover/start-app.js'

// The servers mostly wait for each other.
t.jobs = 2

/** A part of `npm run test:failover`, which runs every case ten times. */
const CASES: [name: SetupName, fault: Fault, cache: boolean][] = [
  ['Sentinel', 'SIGSTOP', true],
  ['Cluster', 'SIGKILL', false]
]

for (const [name, fault, cache] of CASES) {
  t.test(`failovers with ${name}`, async (t) => {
    const setup = await SETUPS[name](t)

    await t.test('with minReplicas a planned failover undoes no acknowledged revocation', async (t) => {
      const app = await startApp(t, { redis: setup.connect(), minReplicas: 1 })
      const planned = await runPlannedFailover(setup, app, 100)
      t.match(planned, { acknowledged: 100, cameBack: 0 })
      t.ok(planned.acknowledgedBefore < 100, 'the failover came during the revocations')
    })

    await t.test(
      `after ${fault} of a master the service recovers with the servers, with only 503 meanwhile`,
      async (t) => {
        const app = await startApp(t, { redis: setup.connect(), cache })
        const round = await runRound(setup, app, { fault, users: 20, workers: 3, heals: false })
        t.comment(JSON.stringify(round))
        assertRound(t, round)
      }
    )
  })
}

function assertRound(t: Test, round: Awaited<ReturnType<typeof runRound>>): void {
  const laterMs = round.backMs - round.failoverMs
  t.strictSame(round.wrong, [])
  t.ok(laterMs < 2_000, `the service is back ${laterMs} ms after the servers`)
  t.ok(round.refused > 0 && round.logins > 0 && round.logouts > 0)
}
