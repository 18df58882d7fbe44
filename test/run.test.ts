// Runs every folder that has a run.test.ts in a process of its own, from compiled code.
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import { COMPILED, compile } from './fixtures/compile.js'
import { findRedisServer } from './fixtures/redis/server-binary.js'
import { unwatched } from './fixtures/unwatched.js'

/** The folders that take longest start first. */
const LONGEST = ['store', 'store/redis', 'upstream', 'cache', 'sessions', 'live']
/** Run by `npm run test:long`. */
const LATER = ['examples']
/** Tests wait more than they compute: four processes on two cores. */
const PROCESSES = 4

const isCovered = process.env._TAPJS_PROCESSINFO_COVERAGE_ === '1'
const NODE_ARGS = [
  '--enable-source-maps',
  // Most clients of the tests have the default settings of ioredis, which the plugin warns of.
  '--disable-warning=FST_JWT_SESSION_REDIS_SETTINGS',
  '--import=./test/fixtures/without-domains.js',
  ...(isCovered ? ['--import=./test/fixtures/coverage.js'] : [])
]

async function foldersWithTests(): Promise<string[]> {
  const paths = (await readdir('test', { recursive: true })).filter((path) => path.endsWith('/run.test.ts'))
  return paths
    .map(dirname)
    .filter((folder) => !LATER.includes(folder))
    .toSorted((a, b) => rank(a) - rank(b))
}

function rank(folder: string): number {
  const rank = LONGEST.indexOf(folder)
  return rank === -1 ? LONGEST.length : rank
}

// Once: else every process that finds an empty cache would download the server for itself.
await findRedisServer({
  onDownload: (folder) => t.comment(`Downloading a Redis server for the tests to ${folder}`)
})
await compile()
t.jobs = PROCESSES
for (const folder of await foldersWithTests()) {
  const file = join(COMPILED, 'test', folder, 'run.test.js')
  void t.spawn(...unwatched(process.execPath, ...NODE_ARGS, file), { name: folder, buffered: true })
}
