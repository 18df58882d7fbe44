import t from 'tap'
import { Breakers } from '../../lib/internal/breakers.js'

const LIMITS = { failures: 1, probeAfterMs: 100, maxInFlight: 10 }
const OPEN = { code: 'CIRCUIT_OPEN' }
const FULL = { code: 'TOO_MANY_IN_FLIGHT' }

t.test('each name has a separate circuit and a separate limit', async (t) => {
  const clock = { now: 0 }
  const changes: [string, boolean][] = []
  const breakers = new Breakers({
    limits: { ...LIMITS, maxInFlight: 1 },
    onChange: (name, isOpen) => changes.push([name, isOpen]),
    clock: () => clock.now
  })
  const breakerOf = (name: string) => breakers.of(name)
  const fail = () => Promise.reject(new Error('no'))
  const outcomeOf = () => 'failure' as const
  await t.rejects(breakerOf('a').run(fail, outcomeOf), { message: 'no' })
  t.strictSame(changes, [['a', true]])
  await t.rejects(breakerOf('a').run(fail, outcomeOf), OPEN)
  void breakerOf('b').run(() => new Promise(() => {}), outcomeOf)
  await t.rejects(breakerOf('b').run(fail, outcomeOf), FULL)
  t.equal(await breakerOf('c').run(async () => 1, outcomeOf), 1)
  clock.now = 100
  t.equal(await breakerOf('a').run(async () => 1, outcomeOf), 1)
  t.strictSame(changes, [
    ['a', true],
    ['a', false]
  ])
})

t.test('idle breakers are forgotten, and breakers with relevant state are not', async (t) => {
  const clock = { now: 0 }
  const breakers = new Breakers({ limits: { ...LIMITS, failures: 2 }, onChange() {}, clock: () => clock.now })
  const breakerOf = (name: string) => breakers.of(name)
  const outcomeOf = () => 'failure' as const
  const fail = async (name: string, times: number) => {
    for (let i = 0; i < times; i++)
      await breakerOf(name)
        .run(() => Promise.reject(), outcomeOf)
        .catch(() => {})
  }
  const visit = async (from: number) => {
    for (let i = from; i < from + 1_000; i++) await breakerOf(`idle ${i}`).run(async () => {}, outcomeOf)
  }
  const [idle, lost] = [breakerOf('idle 0'), breakerOf('lost')]
  await fail('lost', 2)
  await fail('failed once', 1)
  void breakerOf('busy').run(() => new Promise(() => {}), outcomeOf)
  const [failed, busy] = [breakerOf('failed once'), breakerOf('busy')]
  await visit(0)
  t.not(breakerOf('idle 0'), idle)
  t.equal(breakerOf('lost'), lost, 'an open circuit stays open')
  t.equal(breakerOf('failed once'), failed)
  t.equal(breakerOf('busy'), busy)
  clock.now = 60_101
  await visit(1_000)
  t.not(breakerOf('lost'), lost, 'an open circuit without calls is forgotten after a minute')
})

t.test(
  'the first open circuit and the last closed circuit are reported, also when an open breaker is forgotten',
  async (t) => {
    const clock = { now: 0 }
    const changes: boolean[] = []
    const breakers = new Breakers({
      limits: LIMITS,
      onChange() {},
      onAnyChange: (isOpen) => changes.push(isOpen),
      clock: () => clock.now
    })
    const call = (name: string, isUp: boolean) =>
      breakers
        .of(name)
        .run(
          () => (isUp ? Promise.resolve() : Promise.reject()),
          () => 'failure'
        )
        .catch(() => {})
    await call('a', false)
    await call('b', false)
    t.equal(breakers.isOpen, true)
    clock.now = 100
    await call('a', true)
    t.strictSame(changes, [true])
    await call('b', true)
    t.strictSame(changes, [true, false])
    t.equal(breakers.isOpen, false)

    await call('gone', false)
    clock.now += 60_101
    for (let i = 0; i < 200; i++) await call(`server ${i}`, true)
    t.strictSame(changes, [true, false, true, false])

    const pending = [breakers.of('a'), breakers.of('b')].map((breaker) =>
      breaker.run(
        () => new Promise(() => {}),
        () => 'failure'
      )
    )
    t.equal(breakers.inFlight, pending.length)
  }
)
