import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type { Program } from 'typescript'
import { manuals } from '../fixtures/manuals.js'
import { recipePrograms } from '../fixtures/recipes.js'
import { startCluster } from '../fixtures/redis/start-cluster.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { startSentinel } from '../fixtures/redis/start-sentinel.js'
import { compileSnippets, snippetsOf, withPreamble } from '../fixtures/snippets.js'
import { createProgram, typeErrors } from '../fixtures/type-check.js'
import { unwatched } from '../fixtures/unwatched.js'

const run = promisify(execFile)

// The folder is inside the package, so that `fastify-jwt-session` resolves to the built package.
const folder = join(process.cwd(), '.tap', 'manuals')

const USE_STORE = `
const opened = await app.sessions.create({ id: '1' })
if (!(await app.sessions.find(opened.session.id))) throw new Error('The session was not found')
`
const EPILOGUE = `
await app.ready()
await app.close()
`

/** Runs all snippets in one process, which ends when every snippet has closed every resource. */
const RUN_ALL = 'await Promise.all(process.argv.slice(1).map((file) => import(file)))'

t.teardown(() => rm(folder, { recursive: true }))

async function readExamples(): Promise<string> {
  const files = (await readdir('examples', { recursive: true })).filter((file) => file.endsWith('.ts'))
  return (await Promise.all(files.map((file) => readFile(join('examples', file), 'utf8')))).join('')
}

/** The snippets of all manuals except the recipes. */
async function snippetPrograms(): Promise<Record<string, string>> {
  const examples = await readExamples()
  const snippets = manuals
    .filter(({ path }) => path !== 'examples/README.md')
    .flatMap(({ path, text }) =>
      snippetsOf(text)
        .filter(({ language, code }) => language === 'ts' && !examples.includes(code))
        .map(({ code }, index) => ({ name: `${path.replace(/\W/g, '-')}-${index}`, code }))
    )
  const programs = snippets.map(({ name, code }) => {
    const program = withPreamble(code, { upstream: "{ baseUrl: 'http://127.0.0.1:1' }" })
    return [name, `${program}${code.includes('REDIS_') ? USE_STORE : ''}${EPILOGUE}`]
  })
  return Object.fromEntries(programs)
}

/** Fails the test for type errors in the programs. */
async function assertTypes(t: Test, programs: Record<string, string>): Promise<void> {
  await mkdir(folder, { recursive: true })
  const files = Object.entries(programs).map(([name, code]) => ({ code, file: join(folder, `${name}.ts`) }))
  await Promise.all(files.map(({ file, code }) => writeFile(file, code)))
  const { compilerOptions: options } = JSON.parse(await readFile('tsconfig.json', 'utf8'))
  let previous: Program | undefined
  // A declaration applies to a whole compilation, so the programs with declarations are compiled separately.
  for (const declaresTypes of [true, false]) {
    const some = files.filter(({ code }) => code.includes('declare module') === declaresTypes)
    const paths = some.map(({ file }) => file)
    previous = createProgram({
      files: paths,
      options: { ...options, rootDir: process.cwd() },
      ...(previous && { previous })
    })
    t.equal(
      typeErrors(previous, (path) => paths.includes(path)),
      ''
    )
  }
}

t.test('every snippet of every manual compiles and runs', async (t) => {
  const programs = await snippetPrograms()
  t.ok(Object.keys(programs).length >= 15, `${Object.keys(programs).length} snippets`)
  await assertTypes(t, programs)
  const files = await compileSnippets(folder, programs)
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

t.test('every recipe compiles', async (t) => {
  await assertTypes(t, recipePrograms())
})
