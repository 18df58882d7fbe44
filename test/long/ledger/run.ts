import { markdownTable } from '../../fixtures/markdown-table.js'
import { withTeardown } from '../../fixtures/with-teardown.js'
import { runGracefulRestarts } from './graceful-restarts.js'
import { runKilledRedis } from './killed-redis.js'

/** By default 100,000 logins and 10,000 logouts. */
const logins = Number(process.argv[2] ?? 100_000)
const logouts = Number(process.argv[3] ?? 10_000)
const APP_RESTARTS = 5

const graceful = await withTeardown((t) => runGracefulRestarts(t, logins, APP_RESTARTS))
const always = await withTeardown((t) => runKilledRedis(t, logouts, 'always'))
const everysec = await withTeardown((t) => runKilledRedis(t, logouts, 'everysec'))

const gracefulHead = ['logins acknowledged', 'starts of a new app', 'shutdowns of Redis', '503', 'cut off', 'lost']
const { appRestarts, redisRestarts, refused, cut, lost } = graceful
console.log(markdownTable(gracefulHead, [[graceful.logins, appRestarts + 1, redisRestarts, refused, cut, lost]]))

const killedHead = [
  '`kill -9`, `appendfsync`',
  'logouts acknowledged',
  'before it',
  '503',
  'came back',
  'other sessions lost'
]
const killedRows = Object.entries({ always, everysec }).map(([fsync, killed]) => [
  ...[fsync, killed.acknowledged, killed.acknowledgedBefore, killed.refused, killed.cameBack, killed.lost]
])
console.log(`\n${markdownTable(killedHead, killedRows)}`)
// With `everysec` Redis may lose writes: losses are only reported.
process.exitCode = lost + always.cameBack + always.lost === 0 ? 0 : 1
