import t, { type Test } from 'tap'
import { runPlannedFailover } from './failover/planned.js'
import { type Fault, runRound } from './failover/round.js'
import { SETUPS, type SetupName } from './failover/setup.js'
import { startApp } from './failover/start-app.js'

// Most of the time the servers wait for each other.
t.jobs = 2

/** Of what `npm run test:failover` does ten times in each way. How a master that is killed looks from the store has tests of its own. */
const CASES: [name: SetupName, fault: Fault, cache: boolean][] = [
  ['Sentinel', 'SIGSTOP', true],
  ['Cluster', 'SIGKILL', false]
]

for (const [name, fault, cache] of CASES) {
  t.test(`with ${name}`, async (t) => {
    const setup = await SETUPS[name](t)

    await t.test('and minReplicas no acknowledged revocation is undone by a planned failover', async (t) => {
      const app = await startApp(t, { redis: setup.connect(), minReplicas: 1 })
      const planned = await runPlannedFailover(setup, app, 100)
      t.match(planned, { acknowledged: 100, cameBack: 0 })
      t.ok(planned.acknowledgedBefore < 100, 'it fell among them')
    })

    await t.test(`and ${fault} the service is back when the servers are, with nothing but 503 meanwhile`, async (t) => {
      const app = await startApp(t, { redis: setup.connect(), cache })
      const round = await runRound(setup, app, { fault, users: 20, workers: 3, heals: false })
      t.comment(JSON.stringify(round))
      assertRound(t, round)
    })
  })
}

function assertRound(t: Test, round: Awaited<ReturnType<typeof runRound>>): void {
  const laterMs = round.backMs - round.failoverMs
  t.strictSame(round.wrong, [])
  t.ok(laterMs < 2_000, `back ${laterMs} ms after its servers`)
  t.ok(round.refused > 0 && round.logins > 0 && round.logouts > 0)
}
