import t from 'tap'
import { createRefusingApp, logIn } from '../fixtures/refusing-app.js'

const TIMES = 1_000

t.test(
  'a rejected login takes the same time for every reason: the medians of 1,000 logins differ by less than a millisecond',
  async (t) => {
    const app = await createRefusingApp(t)
    const times: Record<string, number[]> = { unknown: [], wrong: [], locked: [] }
    // Each reason follows each reason equally often: a login may slow down the next login.
    const [a, b, c] = Object.keys(times) as [string, string, string]
    const order = [a, a, b, b, c, c, a, c, b]
    for (let n = 0; n < TIMES * 3; n++) {
      const name = order[n % order.length] as string
      const startedAt = performance.now()
      await logIn(app, name)
      times[name]?.push(performance.now() - startedAt)
    }
    const medians = Object.values(times).map((list) => list.sort((a, b) => a - b)[TIMES / 2] as number)
    t.comment([a, b, c].map((name, index) => `${name} ${medians[index]?.toFixed(3)} ms`).join(', '))
    t.ok(Math.max(...medians) - Math.min(...medians) < 1)
  }
)
