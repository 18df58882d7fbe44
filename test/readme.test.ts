import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { Program } from 'typescript'
import { startCluster } from './fixtures/redis/start-cluster.js'
import { startRedis } from './fixtures/redis/start-redis.js'
import { startSentinel } from './fixtures/redis/start-sentinel.js'
import { createProgram, typeErrors } from './fixtures/type-check.js'
import { unwatched } from './fixtures/unwatched.js'

const run = promisify(execFile)
const root = process.cwd()
const readme = await readFile('README.md', 'utf8')

// A folder inside the package: there `fastify-jwt-session` is the package itself, as it was built.
const folder = join(root, '.tap', 'readme')

const PREAMBLE = `
import Fastify from 'fastify'
import fastifyJwtSession from 'fastify-jwt-session'
const app = Fastify()
const jwt = { secret: 'a secret of this test, 32 bytes or more' }
const upstream = { baseUrl: 'http://127.0.0.1:1' }
`

const USE_STORE = `
const opened = await app.sessions.create({ id: '1' })
if (!(await app.sessions.find(opened.session.id))) throw new Error('It was not found')
`
const EPILOGUE = `
await app.ready()
await app.close()
`

/** In one process, which lasts as long as one of them leaves something open. */
const RUN_ALL = 'await Promise.all(process.argv.slice(1).map((file) => import(file)))'

t.test('every example in README compiles and runs', async (t) => {
  t.teardown(() => rm(folder, { recursive: true }))
  await mkdir(folder, { recursive: true })
  const [basic, ...snippets] = [...readme.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = '']) => code)
  t.equal(basic, await readFile('examples/basic.ts', 'utf8'), 'the first one is examples/basic.ts')
  t.ok(snippets.length >= 5)

  const files = await Promise.all(
    snippets.map(async (code, index) => {
      const file = join(folder, `snippet-${index}.ts`)
      await writeFile(file, `${PREAMBLE}${code}${code.includes('REDIS_') ? USE_STORE : ''}${EPILOGUE}`)
      return { file, declaresTypes: code.includes('declare module') }
    })
  )
  const { compilerOptions } = JSON.parse(await readFile('tsconfig.json', 'utf8'))
  const options = { ...compilerOptions, rootDir: root, noEmit: false }
  let previous: Program | undefined
  // A declaration holds for the whole program, so the snippets that declare types are compiled apart.
  for (const declaresTypes of [true, false]) {
    const some = files.filter((file) => file.declaresTypes === declaresTypes).map(({ file }) => file)
    previous = createProgram({ files: some, options, ...(previous && { previous }) })
    t.equal(
      typeErrors(previous, (path) => some.includes(path)),
      ''
    )
    previous.emit()
  }
  const [{ nodes }, { sentinels }, { url }] = await Promise.all([
    startCluster(t),
    startSentinel(t),
    startRedis(t, { tcp: true })
  ])
  const env = {
    ...process.env,
    NEW_SECRET: 'x1'.repeat(16),
    OLD_SECRET: 'y2'.repeat(16),
    REDIS_URL: url,
    REDIS_NODES: nodes.map(({ host, port }) => `redis://${host}:${port}`).join(' '),
    REDIS_SENTINELS: sentinels.map(({ host, port }) => `${host}:${port}`).join(' ')
  }
  const programs = files.map(({ file }) => file.replace(/\.ts$/, '.js'))
  await run(...unwatched(process.execPath, '--input-type=module', '--eval', RUN_ALL, ...programs), { env })
})

t.test(
  'the client for a Cluster is the same in README, in the example, and in the tests that let masters fail',
  async (t) => {
    const settingsOf = (text: string) => /\bslotsRefreshInterval: .*?\}/s.exec(text)?.[0].replace(/\s+/g, ' ')
    const paths = ['examples/redis-cluster.ts', 'test/failover/setup.ts']
    const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8')))
    t.match(settingsOf(readme), 'commandTimeout')
    for (const text of texts) t.equal(settingsOf(text), settingsOf(readme))
  }
)

t.test('README names every option, and no other', async (t) => {
  const source = await readFile('lib/options/options.ts', 'utf8')
  const options = [...source.matchAll(/^ {2,}(\w+)\??:/gm)].map(([, name]) => name)
  const tables = [...readme.matchAll(/^\| (`[^|]+) \|.*\| .* \| .* \|$/gm)].map(([, cell = '']) => cell)
  const documented = tables.flatMap((cell) => [...cell.matchAll(/`([\w.]+)`/g)].map(([, path = '']) => path.split('.')))
  const groups = ['jwt', 'session', 'routes', 'breaker', 'path', 'schema', 'url', 'option']
  const missing = options.filter(
    (name) => !groups.includes(name ?? '') && !documented.some((path) => path.at(-1) === name)
  )
  t.strictSame(missing, [])
  const unknown = documented.flat().filter((name) => !options.includes(name))
  t.strictSame(unknown, [])
})

t.test('README names every code of an error or a warning, and no other', async (t) => {
  const files = (await readdir('lib', { recursive: true })).filter((file) => file.endsWith('.ts'))
  const source = (await Promise.all(files.map((file) => readFile(join('lib', file), 'utf8')))).join('')
  const codes = (text: string) => [...new Set(text.match(/FST_JWT_SESSION_[A-Z_]*[A-Z]/g))].toSorted()
  t.strictSame(codes(readme), codes(source))
})
