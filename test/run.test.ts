// Runs every folder that has a run.test.ts, from compiled code.
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import { COMPILED, compile } from './fixtures/compile.js'
import { findRedisServer } from './fixtures/redis/server-binary.js'
import { unwatched } from './fixtures/unwatched.js'

/**
 * The folders by process, so that all processes take about the same time; a last process runs all other folders. Tests
 * wait more than they compute, so two cores have work for six processes. Each more would load and compile the same code
 * once more, which takes longer than most files do. `client` comes first: it mocks the timers of the process, which must
 * not have a client of Redis from another folder.
 */
const PROCESSES = [
  ['store/failing'],
  ['store/redis', 'testing'],
  ['client', 'store', 'upstream'],
  ['cache', 'sessions', 'diagnostics', 'model'],
  ['guard', 'login', 'options', 'project', 'routes']
]
/** Run by `npm run test:long`. */
const LATER = ['examples']

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

async function otherFolders(): Promise<string[]> {
  const paths = (await readdir('test', { recursive: true })).filter((path) => path.endsWith('/run.test.ts'))
  const known = [...PROCESSES.flat(), ...LATER]
  return paths
    .map(dirname)
    .filter((folder) => !known.includes(folder))
    .toSorted()
}

// Once: else every process that finds an empty cache would download the server for itself.
await findRedisServer({
  onDownload: (folder) => t.comment(`Downloading a Redis server for the tests to ${folder}`)
})
await compile()
const groups = [...PROCESSES, await otherFolders()]
t.jobs = groups.length
for (const folders of groups) {
  const program = join(COMPILED, 'test', 'fixtures', 'run-folders.js')
  const command = unwatched(process.execPath, ...NODE_ARGS, program, ...folders)
  void t.spawn(...command, { name: folders.join(', '), buffered: true })
}
