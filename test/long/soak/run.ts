// npm run test:soak -- [minutes, 30 by default] [--cache]
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { markdownTable } from '../../fixtures/markdown-table.js'
import { type StartedRedis, startRedis } from '../../fixtures/redis/start-redis.js'
import { startUpstream } from '../../fixtures/upstream.js'
import { withTeardown } from '../../fixtures/with-teardown.js'
import { ALL_GOOD, countErrors, startLoad } from './load.js'
import { startMeasuredApp } from './measured-app.js'
import { type Goal, reportGoals } from './report-goals.js'

const CONNECTIONS = 40
const MAX_P99_MS = 50
const MAX_GROWTH = 1.1
const CALIBRATION_MS = 10_000

interface Minute {
  minute: number
  requests: number
  errors: number
  rssMb: number
  eventLoopP99Ms: number
  httpSockets: number
  redisConnections: number
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { cache: { type: 'boolean', default: false } }
})
const minutes = Number(positionals[0] ?? 30)
/** The minute for comparison with the end: by the fifth minute memory is stable. */
const levelMinute = Math.min(5, Math.ceil(minutes / 3))

const rows = await withTeardown(async (t) => {
  const redis = await startRedis(t)
  const upstream = await startUpstream(t)
  const app = await startMeasuredApp(t, {
    redis: { url: redis.socketPath },
    cache: values.cache,
    upstream: { baseUrl: upstream.baseUrl }
  })
  const load = startLoad(app.port, CONNECTIONS)
  t.teardown(() => load.stop())
  const countConnections = connectionCounter(redis)

  await delay(CALIBRATION_MS / 2)
  load.takeOutcomes()
  await delay(CALIBRATION_MS)
  const { requests: most } = countErrors(load.takeOutcomes(), ALL_GOOD)
  const perSecond = Math.round(most / (CALIBRATION_MS / 1_000) / 2)
  console.log(
    `${minutes} minutes at ${perSecond} requests a second, half of the maximum, cache ${values.cache ? 'on' : 'off'}`
  )
  load.setRate(perSecond)
  await delay(1_000)
  load.takeOutcomes()
  await app.figures()

  const rows: Minute[] = []
  for (let minute = 1; minute <= minutes; minute++) {
    await delay(60_000)
    upstream.requests.length = 0
    const { rssBytes, eventLoopP99Ms, httpSockets } = await app.figures()
    const outcomes = load.takeOutcomes()
    const row = {
      minute,
      ...countErrors(outcomes, ALL_GOOD),
      rssMb: Math.round(rssBytes / 1e5) / 10,
      eventLoopP99Ms: Math.round(eventLoopP99Ms * 10) / 10,
      httpSockets,
      redisConnections: await countConnections()
    }
    rows.push(row)
    console.log(Object.values(row).join('\t'))
    if (row.errors > 0) console.log(outcomes)
  }
  return rows
})

const level = rows.find(({ minute }) => minute === levelMinute)
const last = rows.at(-1)
if (level === undefined || last === undefined) throw new Error('Not one minute')
const growth = last.rssMb / level.rssMb
const errors = rows.reduce((sum, row) => sum + row.errors, 0)
const worstP99Ms = Math.max(...rows.map(({ eventLoopP99Ms }) => eventLoopP99Ms))
const isConstant = (name: 'httpSockets' | 'redisConnections') => rows.every((row) => row[name] === rows[0]?.[name])
const goals: Goal[] = [
  ['errors = 0', String(errors), errors === 0],
  [`RSS at the end / minute ${levelMinute} ≤ ${MAX_GROWTH}`, growth.toFixed(3), growth <= MAX_GROWTH],
  [`event loop p99 < ${MAX_P99_MS} ms`, `${worstP99Ms} ms`, worstP99Ms < MAX_P99_MS],
  ['HTTP sockets constant', String(last.httpSockets), isConstant('httpSockets')],
  ['connections to Redis constant', String(last.redisConnections), isConstant('redisConnections')]
]
console.log(
  `\n${markdownTable(
    ['minute', 'requests', 'errors', 'RSS MB', 'event loop p99 ms', 'HTTP sockets', 'Redis connections'],
    rows.map((row) => Object.values(row))
  )}`
)
reportGoals(goals)

/** Counts the connections of Redis, without the connection of the counter. */
function connectionCounter(redis: StartedRedis): () => Promise<number> {
  const client = redis.client()
  return async () =>
    String(await client.client('LIST'))
      .trim()
      .split('\n').length - 1
}
