// Runs every folder that has a run.test.ts, from compiled code.
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import { COMPILED, compile } from './fixtures/compile.js'
import { findRedisServer } from './fixtures/redis/server-binary.js'
import { unwatched } from './fixtures/unwatched.js'

/** The folders that take longest: each has a process of its own. */
const LONGEST = ['store/redis', 'store/failing', 'store', 'upstream', 'sessions', 'cache']
/** The processes of all other folders: the start of a process takes more than most files do. */
const SHARED = 4
/** Run by `npm run test:long`. */
const LATER = ['examples']
/** Tests wait more than they compute: six processes on two cores. */
const PROCESSES = 6

const isCovered = process.env._TAPJS_PROCESSINFO_COVERAGE_ === '1'
const NODE_ARGS = [
  // V8 would compile most functions a second time shortly before the process ends: a fifth of the processor time.
  '--interrupt-budget=500000',
  // Each process has few objects, and all processes together have work for all cores.
  '--single-threaded-gc',
  // Most clients of the tests have the default settings of ioredis, which the plugin warns of.
  '--disable-warning=FST_JWT_SESSION_REDIS_SETTINGS',
  '--import=./test/fixtures/without-domains.js',
  ...(isCovered ? ['--import=./test/fixtures/coverage.js'] : [])
]

/** The folders of each process; the processes that take longest start first. */
async function folderGroups(): Promise<string[][]> {
  const paths = (await readdir('test', { recursive: true })).filter((path) => path.endsWith('/run.test.ts'))
  const others = paths
    .map(dirname)
    .filter((folder) => ![...LONGEST, ...LATER].includes(folder))
    .toSorted()
  const shared = Array.from({ length: SHARED }, (_, i) => others.filter((_, j) => j % SHARED === i))
  return [...shared, ...LONGEST.map((folder) => [folder])]
}

// Once: else every process that finds an empty cache would download the server for itself.
await findRedisServer({
  onDownload: (folder) => t.comment(`Downloading a Redis server for the tests to ${folder}`)
})
await compile()
t.jobs = PROCESSES
for (const folders of await folderGroups()) {
  const program = join(COMPILED, 'test', 'fixtures', 'run-folders.js')
  const command = unwatched(process.execPath, ...NODE_ARGS, program, ...folders)
  void t.spawn(...command, { name: folders.join(', '), buffered: true })
}
