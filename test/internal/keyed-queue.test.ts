import t from 'tap'
import { KeyedQueue } from '../../lib/internal/keyed-queue.js'

/** A task with a log entry for the begin and the end; the test settles the task. */
function createTask(log: string[], name: string) {
  let settle: (error?: Error) => void = () => {}
  const run = () =>
    new Promise<string>((resolve, reject) => {
      log.push(name)
      settle = (error) => (error === undefined ? resolve(name) : reject(error))
    })
  return { run, settle: (error?: Error) => settle(error) }
}

t.test('tasks of one key run in sequence, also after a failure, and other keys run in parallel', async (t) => {
  const queue = new KeyedQueue()
  const log: string[] = []
  const [first, second, third, other] = ['first', 'second', 'third', 'other'].map((name) => createTask(log, name))
  const results = [first, second, third].map((task) => queue.run('a', async () => task?.run()))
  const otherResult = queue.run('b', async () => other?.run())
  t.strictSame(log, ['first', 'other'])
  const error = new Error('no')
  first?.settle(error)
  await t.rejects(results[0] as Promise<unknown>, error)
  t.strictSame(log, ['first', 'other', 'second'])
  second?.settle()
  t.equal(await results[1], 'second')
  third?.settle()
  other?.settle()
  t.strictSame([await results[2], await otherResult], ['third', 'other'])
})

t.test('a key takes no memory after all tasks have settled', async (t) => {
  const queue = new KeyedQueue()
  const fails = async () => Promise.reject(new Error('no'))
  const throws = () => {
    throw new Error('no')
  }
  const running = Array.from({ length: 100 }, (_, i) => [
    queue.run(`${i}`, async () => i),
    queue.run(`${i}`, fails),
    queue.run(`${i}`, async () => i)
  ]).flat()
  t.equal(queue.size, 100)
  await Promise.allSettled([...running, queue.run('failed', fails), queue.run('thrown', throws)])
  t.equal(queue.size, 0)
})

t.test('a task that is added during the second task of a key runs after the second task', async (t) => {
  const queue = new KeyedQueue()
  const log: string[] = []
  const [first, second, third] = ['first', 'second', 'third'].map((name) => createTask(log, name))
  const add = (task = first) => queue.run('a', async () => task?.run())
  const results = [add(first), add(second)]
  first?.settle()
  await results[0]
  results.push(add(third))
  t.strictSame(log, ['first', 'second'])
  second?.settle()
  await results[1]
  third?.settle()
  t.equal(await results[2], 'third')
})
