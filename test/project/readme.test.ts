import { execFile } from 'node:child_process'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Fastify from 'fastify'
import t from 'tap'
import { fastifyJwtSession, verifySession } from '../../lib/index.js'
import { SECRET } from '../fixtures/app.js'
import { startCluster } from '../fixtures/redis/start-cluster.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { startSentinel } from '../fixtures/redis/start-sentinel.js'
import { compileSnippets, snippetsOf, withPreamble } from '../fixtures/snippets.js'
import { unwatched } from '../fixtures/unwatched.js'

const run = promisify(execFile)
const readme = await readFile('README.md', 'utf8')

// A folder inside the package: there `fastify-jwt-session` is the package itself, as it was built.
const folder = join(process.cwd(), '.tap', 'readme')

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
  const [basic, ...snippets] = snippetsOf(readme).filter(({ language }) => language === 'ts')
  t.equal(basic?.code, await readFile('examples/basic.ts', 'utf8'), 'the first one is examples/basic.ts')
  t.ok(snippets.length >= 5)

  const programs = snippets.map(({ code }, index) => {
    const program = withPreamble(code, { upstream: "{ baseUrl: 'http://127.0.0.1:1' }" })
    return [`snippet-${index}`, `${program}${code.includes('REDIS_') ? USE_STORE : ''}${EPILOGUE}`]
  })
  const files = await compileSnippets(t, folder, Object.fromEntries(programs))
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
  await run(...unwatched(process.execPath, '--input-type=module', '--eval', RUN_ALL, ...Object.values(files)), { env })
})

t.test(
  'the client for a Cluster is the same in README, in the example, and in the tests that let masters fail',
  async (t) => {
    const settingsOf = (text: string) => /\bslotsRefreshInterval: .*?\}/s.exec(text)?.[0].replace(/\s+/g, ' ')
    const paths = ['examples/redis-cluster.ts', 'test/long/failover/setup.ts']
    const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8')))
    t.match(settingsOf(readme), 'commandTimeout')
    for (const text of texts) t.equal(settingsOf(text), settingsOf(readme))
  }
)

t.test('README and the examples show the imported guard, which is there in any order', async (t) => {
  const examples = (await readdir('examples', { recursive: true })).filter((file) => /\.(?:ts|md)$/.test(file))
  const texts = await Promise.all(examples.map((file) => readFile(join('examples', file), 'utf8')))
  for (const text of [readme, ...texts]) t.notMatch(text, /: \[?(?:app|fastify|scope)\.verifySession/)
})

t.test('a guard that is not there yet guards nothing, as README says', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream: { baseUrl: 'http://127.0.0.1:1' } })
  app.get('/open', { preHandler: app.verifySession }, async () => 'open')
  const schema = { querystring: { type: 'object', required: ['page'] } }
  app.get('/guarded', { onRequest: verifySession, schema }, async () => 'open')
  t.equal((await app.inject('/open')).body, 'open')
  t.equal((await app.inject('/guarded')).statusCode, 401, 'the imported guard is, and comes before the schema')
})

t.test('README names every option, and no other', async (t) => {
  const files = ['options', 'upstream-options'].map((name) => readFile(`lib/options/${name}.ts`, 'utf8'))
  const source = (await Promise.all(files)).join('')
  const options = [...source.matchAll(/^ {2,}(\w+)\??:/gm)].map(([, name]) => name)
  const tables = [...readme.matchAll(/^\| (`[^|]+) \|.*\| .* \| .* \|$/gm)].map(([, cell = '']) => cell)
  const documented = tables.flatMap((cell) => [...cell.matchAll(/`([\w.]+)`/g)].map(([, path = '']) => path.split('.')))
  const groups = ['jwt', 'session', 'routes', 'breaker', 'path', 'schema', 'config', 'url', 'option']
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
