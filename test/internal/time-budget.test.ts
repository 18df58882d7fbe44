import { getEventListeners } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { AbortableCall } from '../../lib/internal/abortable-call.js'
import { createDeadline, withDeadline } from '../../lib/internal/deadline.js'
import { TimeBudget } from '../../lib/internal/time-budget.js'
import { until } from '../fixtures/until.js'

const TIMED_OUT = { code: 'ETIMEDOUT' }

/** Freezes `performance.now()`. The timers of Node.js use another clock and are not frozen. */
function freezeMonotonicClock(t: Test): { now: number } {
  const clock = { now: 1_000 }
  t.intercept(performance, 'now', { value: () => clock.now })
  return clock
}

/** Captures every timer from the call on. */
function captureTimers(t: Test): NodeJS.Timeout[] {
  const timers: NodeJS.Timeout[] = []
  const { setTimeout } = globalThis
  const capture = (...args: Parameters<typeof setTimeout>) => {
    const timer = setTimeout(...args)
    timers.push(timer)
    return timer
  }
  t.intercept(globalThis, 'setTimeout', { value: Object.assign(capture, setTimeout) })
  return timers
}

const isSet = (timer?: NodeJS.Timeout) => timer !== undefined && (timer as { _destroyed?: boolean })._destroyed !== true

const never = () => new Promise<never>(() => {})

/** Keeps the process alive, as a connection would: the timer of an abortable call does not. */
function stayAlive(t: Test): void {
  const timer = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(timer))
}

t.test('the budget is spent only while a call is in progress', async (t) => {
  const clock = freezeMonotonicClock(t)
  const budget = new TimeBudget(60_000)
  t.equal(budget.leftMs, 60_000)
  clock.now += 5_000
  t.equal(budget.leftMs, 60_000, 'the time before the first call is not spent')
  const result = await budget.spend(async () => {
    clock.now += 300
    t.equal(budget.leftMs, 59_700, 'a call in progress spends the budget')
    clock.now += 200
    return 'a result'
  })
  t.equal(result, 'a result')
  t.equal(budget.leftMs, 59_500)
  clock.now += 5_000
  t.equal(budget.leftMs, 59_500, 'the time between two calls is not spent')
  const error = new Error('no')
  await t.rejects(
    budget.spend(async () => {
      clock.now += 100
      throw error
    }),
    error
  )
  t.equal(budget.leftMs, 59_400, 'a failed call spends the budget too')
  t.equal(budget.totalMs, 60_000)
})

t.test('parallel calls spend the time once', async (t) => {
  const clock = freezeMonotonicClock(t)
  const budget = new TimeBudget(60_000)
  const settle: (() => void)[] = []
  const begin = () => budget.spend(() => new Promise<void>((resolve) => settle.push(resolve)))
  const calls = [begin()]
  clock.now += 100
  calls.push(begin())
  clock.now += 300
  settle[0]?.()
  await calls[0]
  clock.now += 100
  t.equal(budget.leftMs, 59_500, 'the other call is still in progress')
  settle[1]?.()
  await calls[1]
  clock.now += 100
  t.equal(budget.leftMs, 59_500)
})

t.test('a call is not started when the budget is spent', async (t) => {
  const clock = freezeMonotonicClock(t)
  const budget = new TimeBudget(500)
  await budget.spend(async () => {
    clock.now += 500
  })
  t.equal(budget.leftMs, 0)
  let isStarted = false
  await t.rejects(
    budget.spend(async () => {
      isStarted = true
    }),
    TIMED_OUT
  )
  t.notOk(isStarted)
})

t.test('the first or a later call that does not settle is abandoned when the budget is spent', async (t) => {
  const fresh = new TimeBudget(30)
  await t.rejects(fresh.spend(never), TIMED_OUT)
  t.equal(fresh.leftMs, 0)

  const used = new TimeBudget(60_000)
  const clock = freezeMonotonicClock(t)
  await used.spend(async () => {
    clock.now += 59_980
  })
  await t.rejects(used.spend(never), TIMED_OUT, 'the call is abandoned after 20 ms and not after 60 s')
})

t.test('a call may throw synchronously or return a plain value', async (t) => {
  const budget = new TimeBudget(60_000)
  const error = new Error('no')
  const throwing = () => {
    throw error
  }
  await t.rejects(budget.spend(throwing), error)
  const plain = (() => 7) as unknown as () => Promise<number>
  t.equal(await budget.spend(plain), 7)
  const clock = freezeMonotonicClock(t)
  const { leftMs } = budget
  clock.now += 1_000
  t.equal(budget.leftMs, leftMs, 'no call is in progress')
})

t.test('all full budgets share one timer', async (t) => {
  const timers = captureTimers(t)
  const budgets = Array.from({ length: 100 }, () => new TimeBudget(54_321))
  t.strictSame(await Promise.all(budgets.map((budget, i) => budget.spend(async () => i))), [...budgets.keys()])
  t.equal(timers.length, 1)
})

t.test(
  'a shared timer abandons each call at its deadline, and keeps the process alive only during calls',
  async (t) => {
    const timers = captureTimers(t)
    const hasRef = () => timers.some((timer) => isSet(timer) && timer.hasRef())
    const inTime = createDeadline(100)
    const abandoned: string[] = []
    const abandon = async (name: string) => {
      const startedAt = performance.now()
      await inTime(never()).catch(() => abandoned.push(name))
      // Timers may fire a millisecond early.
      t.ok(performance.now() - startedAt >= 98, `${name}: not before the deadline`)
    }
    void abandon('first')
    await new Promise((resolve) => setTimeout(resolve, 50))
    void abandon('second')
    const timer = timers[0]
    t.ok(timer?.hasRef())
    await until(() => abandoned.length === 2)
    t.strictSame(abandoned, ['first', 'second'])

    const [hanging, settling] = [abandon('other'), inTime(Promise.resolve('a result'))]
    t.equal(await settling, 'a result')
    t.ok(hasRef(), 'another call is still in progress')
    await hanging
    t.equal(await inTime(Promise.resolve('a result')), 'a result')
    t.notOk(hasRef(), 'no call is in progress after a result')
    await t.rejects(inTime(Promise.reject(new Error('no'))), { message: 'no' })
    t.notOk(hasRef(), 'no call is in progress after an error')
    const last = abandon('third')
    t.ok(hasRef(), 'a remaining timer is reused')
    await last
  }
)

t.test('a late result of an abandoned call is ignored', async (t) => {
  const outcomes: ((value: string) => void)[] = []
  const late = () => new Promise<string>((resolve) => outcomes.push(resolve))
  await t.rejects(new TimeBudget(10).spend(late), TIMED_OUT)
  await t.rejects(withDeadline(late(), 10), TIMED_OUT)
  for (const settle of outcomes) settle('late')
  const rejections: ((error: Error) => void)[] = []
  const failing = () => new Promise<never>((_resolve, reject) => rejections.push(reject))
  await t.rejects(new TimeBudget(10).spend(failing), TIMED_OUT)
  await t.rejects(withDeadline(failing(), 10), TIMED_OUT)
  for (const reject of rejections) reject(new Error('late'))
  // An unhandled rejection would fail the test.
  await new Promise(setImmediate)
})

t.test('a deadline with `ref: false` does not keep the process alive', async (t) => {
  const timers = captureTimers(t)
  t.equal(await withDeadline(Promise.resolve(1), 60_000), 1)
  t.equal(await withDeadline(Promise.resolve(1), 60_000, { ref: false }), 1)
  withDeadline(never(), 60_000, { ref: false }).catch(() => {})
  await new Promise(setImmediate)
  const [first, second, third] = timers
  t.strictSame([isSet(first), isSet(second)], [false, false], 'the timer is cleared when the promise has settled')
  t.notOk(third?.hasRef())
})

t.test('a call is aborted and rejects at the deadline, also when the signal is ignored', async (t) => {
  stayAlive(t)
  const call = new AbortableCall(20)
  const { signal } = call
  await t.rejects(call.run(never), TIMED_OUT)
  t.ok(signal.aborted)
  t.ok(call.hasTimedOut)
})

t.test('a hanging call is aborted also after garbage collection', async (t) => {
  stayAlive(t)
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const calls = Array.from({ length: 50 }, () => new AbortableCall(100).run(never))
  const outcomes = Promise.allSettled(calls)
  const timer = setInterval(collectGarbage, 10)
  t.teardown(() => clearInterval(timer))
  collectGarbage()
  t.ok((await outcomes).every(({ status }) => status === 'rejected'))
})

t.test('a call that settles in the turn of the abort keeps the result', async (t) => {
  stayAlive(t)
  const call = new AbortableCall(20)
  const saved = () =>
    new Promise<string>((resolve) => call.signal.addEventListener('abort', () => setImmediate(resolve, 'saved')))
  t.equal(await call.run(saved), 'saved')
  t.ok(call.hasTimedOut)

  const error = new Error('no')
  const refused = new AbortableCall(20)
  const refusal = () =>
    new Promise<never>((_resolve, reject) => refused.signal.addEventListener('abort', () => reject(error)))
  await t.rejects(refused.run(refusal), error)
})

t.test('a late result of an aborted call is ignored', async (t) => {
  stayAlive(t)
  let settle: { resolve(value: string): void; reject(error: Error): void } | undefined
  const late = () => new Promise<string>((resolve, reject) => (settle = { resolve, reject }))
  for (const name of ['resolve', 'reject'] as const) {
    const call = new AbortableCall(60_000)
    const result = call.run(late)
    call.abort(() => new Error('gone'))
    await t.rejects(result, { message: 'gone' })
    t.notOk(call.hasTimedOut)
    settle?.[name](new Error('late') as never)
    // An unhandled rejection would fail the test.
    await new Promise(setImmediate)
  }
})

t.test('a settled call leaves no timer and cannot be aborted', async (t) => {
  stayAlive(t)
  const timers = captureTimers(t)
  const error = new Error('no')
  const throwing = () => {
    throw error
  }
  const calls = [new AbortableCall(60_000), new AbortableCall(60_000), new AbortableCall(60_000)] as const
  t.equal(await calls[0].run(async () => 'a result'), 'a result')
  await t.rejects(calls[1].run(throwing), error)
  t.equal(await calls[2].run((() => 7) as never), 7, 'a call may return a plain value')
  await new Promise(setImmediate)
  t.notOk(timers.some(isSet))
  for (const call of calls) {
    call.abort(() => t.fail('no reason is created') as never)
    t.notOk(call.signal.aborted)
    call.onAbort(() => t.fail('no listener is called'))
  }
})

t.test(
  'an abort reaches the listener and the signal, whether they were there before the abort or come later',
  async (t) => {
    stayAlive(t)
    for (const isReadBefore of [true, false]) {
      const call = new AbortableCall(60_000)
      const before = isReadBefore ? call.signal : undefined
      const reasons: Error[] = []
      const listen = () => call.onAbort((reason) => reasons.push(reason))
      if (isReadBefore) listen()
      const result = call.run(never)
      const gone = new Error('gone')
      call.abort(() => gone)
      await t.rejects(result, gone)
      if (!isReadBefore) listen()
      t.strictSame(reasons, [gone])
      t.equal(reasons[0], gone)
      t.ok(call.signal.aborted)
      t.equal(call.signal.reason, gone)
      if (before !== undefined) t.equal(call.signal, before)
    }
  }
)

t.test('the timer of an abortable call does not keep the process alive', async (t) => {
  stayAlive(t)
  const timers = captureTimers(t)
  const call = new AbortableCall(60_000)
  const hanging = call.run(never)
  t.strictSame([isSet(timers[0]), timers[0]?.hasRef()], [true, false])
  call.abort(() => new Error('gone'))
  await t.rejects(hanging)
})

t.test('work of waitUntil() has the rest of the time, and continues after the client hangs up', async (t) => {
  stayAlive(t)
  const timers = captureTimers(t)
  const call = new AbortableCall(60)
  let finish = () => {}
  const first = new Promise<void>((resolve) => (finish = resolve))
  const second = new Promise<never>((_resolve, reject) => call.signal.addEventListener('abort', reject))
  const result = call.run(async () => {
    call.waitUntil(first)
    call.waitUntil(second)
    return 'answered'
  })
  t.equal(await result, 'answered')
  call.abort(() => new Error('gone'))
  t.notOk(call.signal.aborted)
  finish()
  await first
  t.ok(isSet(timers[0]), 'the other work continues')
  await t.rejects(second)
  t.ok(call.signal.aborted)
  t.notOk(call.hasTimedOut, 'the call was in time')
  t.notOk(isSet(timers[0]))
})

t.test('a result that arrives together with the timeout is in time', async (t) => {
  stayAlive(t)
  const call = new AbortableCall(37)
  // Unique durations, because timers of equal duration fire together.
  // Socket data comes after the timers, and before immediates of the timers.
  const read = (resolve: (value: string) => void) => setTimeout(() => setImmediate(resolve, 'a result'), 13)
  const result = call.run(() => new Promise<string>(read))
  const busyUntil = performance.now() + 80
  while (performance.now() < busyUntil);
  t.equal(await result, 'a result')
  t.notOk(call.signal.aborted)
  t.strictSame(getEventListeners(call.signal, 'abort'), [])
})
