// npm run test:overload -- [seconds, 60 by default]
import { setTimeout as delay } from 'node:timers/promises'
import { markdownTable } from '../../fixtures/markdown-table.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { startUpstream } from '../../fixtures/upstream.js'
import { withTeardown } from '../../fixtures/with-teardown.js'
import { ALL_GOOD, countErrors, startLoad } from './load.js'
import { startMeasuredApp } from './measured-app.js'
import { type Goal, reportGoals } from './report-goals.js'

const CONNECTIONS = 100
const WARM_UP_MS = 15_000
const MAX_GROWTH_MB = 50
const REFUSED = ['login 503', 'verify 503', 'logout 503']

interface Row {
  second: number
  requests: number
  errors: number
  rssMb: number
  eventLoopP99Ms: number
}

const seconds = Number(process.argv[2] ?? 60)
const everySeconds = Math.max(1, Math.round(seconds / 12))

const { startMb, rows, recoveredMs } = await withTeardown(async (t) => {
  const redis = await startRedis(t)
  const upstream = await startUpstream(t)
  const app = await startMeasuredApp(t, { redis: { url: redis.socketPath }, upstream: { baseUrl: upstream.baseUrl } })
  const load = startLoad(app.port, CONNECTIONS)
  t.teardown(() => load.stop())
  // Requests from before the stall are answered after the stall.
  t.teardown(() => redis.resume())
  await delay(WARM_UP_MS)
  const startMb = (await app.figures()).rssBytes / 1e6

  redis.stall()
  // Drops replies from before the stall.
  await delay(1_000)
  load.takeOutcomes()
  const rows: Row[] = []
  for (let second = everySeconds; second <= seconds; second += everySeconds) {
    await delay(everySeconds * 1_000)
    upstream.requests.length = 0
    const { rssBytes, eventLoopP99Ms } = await app.figures()
    rows.push({
      second,
      ...countErrors(load.takeOutcomes(), REFUSED),
      rssMb: Math.round(rssBytes / 1e5) / 10,
      eventLoopP99Ms: Math.round(eventLoopP99Ms * 10) / 10
    })
  }

  redis.resume()
  const resumedAt = performance.now()
  let outcomes: Map<string, number>
  do {
    load.takeOutcomes()
    await delay(50)
    outcomes = load.takeOutcomes()
  } while (
    performance.now() - resumedAt < 10_000 &&
    (outcomes.size === 0 || countErrors(outcomes, ALL_GOOD).errors > 0)
  )
  return { startMb, rows, recoveredMs: performance.now() - resumedAt }
})

const growthMb = Math.max(...rows.map(({ rssMb }) => rssMb)) - startMb
const errors = rows.reduce((sum, row) => sum + row.errors, 0)
const goals: Goal[] = [
  [`RSS grows by < ${MAX_GROWTH_MB} MB`, `${growthMb.toFixed(1)} MB`, growthMb < MAX_GROWTH_MB],
  ['every answer is 503', `${errors} others`, errors === 0],
  ['the service recovers within 2 s', `${recoveredMs.toFixed()} ms`, recoveredMs < 2_000]
]
console.log(
  `Redis stalled for ${seconds} s under full load over ${CONNECTIONS} connections; RSS before: ${startMb.toFixed(1)} MB\n`
)
console.log(
  markdownTable(
    ['second', 'requests', 'other than 503', 'RSS MB', 'event loop p99 ms'],
    rows.map((row) => Object.values(row))
  )
)
reportGoals(goals)
