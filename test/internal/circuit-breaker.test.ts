import t from 'tap'
import { type BreakerLimits, createBreaker, type Outcome } from '../../lib/internal/circuit-breaker.js'

const OPEN = { code: 'CIRCUIT_OPEN' }
const FULL = { code: 'TOO_MANY_IN_FLIGHT' }
const LIMITS = { failures: 1, probeAfterMs: 100, maxInFlight: 10 }

/** A breaker with a clock and calls under control of the test. */
function createSubject(limits: Partial<BreakerLimits> = {}) {
  const clock = { now: 0 }
  const changes: string[] = []
  const onChange = (isOpen: boolean) => changes.push(isOpen ? 'open' : 'closed')
  const breaker = createBreaker({ ...LIMITS, ...limits }, onChange, () => clock.now)

  /** Begins a call and resolves to a function to settle the call; rejects when the breaker rejects the call. */
  async function begin() {
    let isStarted = false
    let settle: (outcome: Outcome | 'resolved') => void = () => {}
    const call = () =>
      new Promise<void>((resolve, reject) => {
        isStarted = true
        settle = (outcome) => (outcome === 'resolved' ? resolve() : reject(outcome))
      })
    const result = breaker.run(call, (error) => error as Outcome)
    const settled = result.catch(() => {})
    if (!isStarted) await result
    return async (outcome: Outcome | 'resolved') => {
      settle(outcome)
      await settled
    }
  }

  async function run(...outcomes: (Outcome | 'resolved')[]): Promise<void> {
    for (const outcome of outcomes) await (await begin())(outcome)
  }

  return { clock, changes, begin, run }
}

t.test('the circuit opens after `failures` consecutive failures', async (t) => {
  const { run, changes } = createSubject({ failures: 3 })
  await run('failure', 'failure', 'failure')
  t.strictSame(changes, ['open'])
  await t.rejects(run('resolved'), OPEN)
})

for (const response of ['resolved', 'response'] as const) {
  t.test(`failures before a response do not count (${response})`, async (t) => {
    const { run, changes } = createSubject({ failures: 3 })
    await run('failure', 'failure', response, 'failure', 'failure', response, 'failure', 'failure')
    t.strictSame(changes, [])
    await run('failure')
    t.strictSame(changes, ['open'])
  })
}

t.test('a failure does not count when another call had a response since the failed call began', async (t) => {
  const { begin, run, changes } = createSubject()
  const failing = [await begin(), await begin()]
  await run('resolved')
  for (const settle of failing) await settle('failure')
  t.strictSame(changes, [])
})

t.test('an abandoned call is neither a failure nor a response', async (t) => {
  const { run, changes } = createSubject({ failures: 2 })
  await run('abandoned', 'abandoned', 'abandoned', 'failure', 'abandoned')
  t.strictSame(changes, [])
  await run('failure')
  t.strictSame(changes, ['open'], 'the failures are consecutive')
})

t.test(
  'one probe at a time checks whether the dependency has recovered, and a response closes the circuit',
  async (t) => {
    const { clock, begin, run, changes } = createSubject()
    await run('failure')
    clock.now = 99
    await t.rejects(begin(), OPEN)
    clock.now = 100
    const probe = await begin()
    await t.rejects(begin(), OPEN)
    clock.now = 10_000
    await t.rejects(begin(), OPEN, 'only one probe, however long the probe takes')
    await probe('resolved')
    t.strictSame(changes, ['open', 'closed'])
    await run('resolved', 'resolved')
  }
)

t.test('a failed probe delays the next probe', async (t) => {
  const { clock, run, changes } = createSubject({ failures: 5 })
  await run('failure', 'failure', 'failure', 'failure', 'failure')
  clock.now = 1_000
  await run('failure')
  clock.now = 1_099
  await t.rejects(run('resolved'), OPEN)
  clock.now = 1_100
  await run('resolved')
  t.strictSame(changes, ['open', 'closed'], 'each change is reported once')
})

t.test('after an abandoned probe the next call is a probe at once', async (t) => {
  const { clock, begin, run, changes } = createSubject()
  await run('failure')
  clock.now = 100
  const abandoned = await begin()
  await t.rejects(begin(), OPEN, 'one probe at a time')
  await abandoned('abandoned')
  const probe = await begin()
  await t.rejects(begin(), OPEN, 'also after an abandoned probe')
  await probe('abandoned')
  await run('failure')
  await t.rejects(begin(), OPEN, 'a failure delays the next probe')
  clock.now = 200
  await run('abandoned', 'resolved')
  t.strictSame(changes, ['open', 'closed'])
})

t.test('a probe that does not settle holds up the next probe for a minute, and no longer', async (t) => {
  const { clock, begin, run, changes } = createSubject()
  await run('failure')
  clock.now = 100
  const lost = await begin()
  clock.now = 60_099
  await t.rejects(begin(), OPEN)
  clock.now = 60_100
  const probe = await begin()
  await lost('failure')
  await t.rejects(begin(), OPEN, 'a late failure of the lost probe does not end the next probe')
  await probe('failure')
  clock.now = 60_199
  await t.rejects(begin(), OPEN)
  clock.now = 60_200
  await run('resolved')
  t.strictSame(changes, ['open', 'closed'])
})

t.test('late failures of calls from before the circuit opened do not delay the probe', async (t) => {
  const { clock, begin, run } = createSubject()
  const late = [await begin(), await begin(), await begin()]
  await late[0]?.('failure')
  clock.now = 90
  await late[1]?.('failure')
  clock.now = 100
  const probe = await begin()
  await late[2]?.('failure')
  await t.rejects(begin(), OPEN, 'a late failure does not end the probe')
  await probe('failure')
  clock.now = 200
  await run('resolved')
})

t.test('a late response closes the circuit, and a later failure of the probe does not count', async (t) => {
  const { clock, begin, run, changes } = createSubject()
  const late = await begin()
  await run('failure')
  clock.now = 100
  const probe = await begin()
  await late('resolved')
  await probe('failure')
  t.strictSame(changes, ['open', 'closed'])
  await run('resolved')
})

t.test('calls over `maxInFlight` are rejected at once until other calls have settled', async (t) => {
  const { begin, run } = createSubject({ failures: 100, maxInFlight: 2 })
  const [first] = [await begin(), await begin()]
  await t.rejects(begin(), FULL)
  await first?.('failure')
  const third = await begin()
  await t.rejects(begin(), FULL)
  await third('resolved')
  await run('resolved')
})

t.test('a probe is let through although `maxInFlight` calls hang', async (t) => {
  const { clock, begin, run, changes } = createSubject({ maxInFlight: 2 })
  await begin()
  await run('failure')
  clock.now = 100
  await begin()
  clock.now = 60_100
  const probe = await begin()
  await probe('resolved')
  t.strictSame(changes, ['open', 'closed'])
  await t.rejects(begin(), FULL, 'with the circuit closed the limit applies')
})
