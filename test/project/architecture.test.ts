import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)

interface SourceFile {
  path: string
  text: string
  imports: string[]
}

const names = (await readdir('lib', { recursive: true })).filter((name) => name.endsWith('.ts'))
const files: SourceFile[] = await Promise.all(
  names.map(async (path) => {
    const text = await readFile(join('lib', path), 'utf8')
    const imports = [...text.matchAll(/ from '([^']+)'/g)].map(([, name = '']) =>
      name.startsWith('.') ? normalize(join(dirname(path), name)).replace(/\.js$/, '.ts') : name
    )
    return { path, text, imports }
  })
)

/** The allowed imports of each folder and each file in the root of lib, as in lib/README.md. index.ts may import all. */
const BASE = ['errors.ts', 'errors', 'internal']
const STORES = ['model', 'diagnostics', ...BASE]
const MAY_IMPORT: Record<string, string[]> = {
  internal: [],
  errors: ['internal'],
  'errors.ts': ['errors', 'internal'],
  model: BASE,
  http: BASE,
  diagnostics: BASE,
  token: [...STORES, 'http'],
  upstream: [...STORES, 'http'],
  'store/redis': [...STORES, 'store'],
  cache: [...STORES, 'store'],
  store: [...STORES, 'store/redis', 'cache'],
  custody: [...STORES, 'store', 'upstream'],
  login: [...STORES, 'http', 'store', 'token'],
  live: [...STORES, 'store', 'login'],
  'sessions.ts': [...STORES, 'http', 'login', 'live'],
  options: [...STORES, 'http', 'store', 'store/redis', 'upstream'],
  // Browser code imports no server code.
  client: [],
  testing: [...STORES, 'store', 'token', 'upstream', 'login', 'live', 'options'],
  guard: [...STORES, 'custody', 'http', 'store', 'cache', 'token', 'live', 'sessions.ts', 'options'],
  routes: [...STORES, 'custody', 'http', 'store', 'token', 'upstream', 'login', 'live', 'options', 'guard']
}

function roomOf(path: string): string {
  const folder = dirname(path)
  return folder === '.' ? path : folder
}

function importersOf(matches: RegExp): string[] {
  return files.filter(({ imports }) => imports.some((name) => matches.test(name))).map(({ path }) => path)
}

// The pattern does not match the source of the pattern.
const FORBIDDEN_WORDS = /\b(?:h(?:e|is|im|imself)|(?:some|no|every|any)bod(?:y)|whoev(?:er))\b/gi

t.test('imports follow the layers, without cycles', async (t) => {
  t.strictSame(importersOf(/^index\.ts$/), [], 'no file imports index')
  t.strictSame(
    importersOf(/^testing\//).filter((path) => !path.startsWith('testing/')),
    [],
    'no production code imports a helper of tests'
  )
  t.strictSame(importersOf(/^routes\/index\.ts$/), ['index.ts'], 'only index mounts the routes')
  const cycles: string[] = []
  const seen = new Set<string>()
  const visit = (path: string, trail: string[]): void => {
    if (trail.includes(path)) cycles.push([...trail, path].join(' → '))
    if (seen.has(path) || trail.includes(path)) return
    for (const name of files.find((file) => file.path === path)?.imports ?? []) visit(name, [...trail, path])
    seen.add(path)
  }
  for (const entry of ['index.ts', 'client/index.ts', 'testing/index.ts']) visit(entry, [])
  t.strictSame(cycles, [])
  t.ok(seen.size > 100, 'the visit follows imports')
  const below = files.filter(({ path }) => path !== 'index.ts')
  t.strictSame(
    files.filter(
      ({ path, imports }) => path.startsWith('client/') && imports.some((name) => !name.startsWith('client/'))
    ),
    [],
    'the client needs no package'
  )
  const wrong = below.flatMap(({ path, imports }) => {
    const room = roomOf(path)
    const others = imports.map(roomOf).filter((name) => name in MAY_IMPORT && name !== room)
    return others.filter((name) => !MAY_IMPORT[room]?.includes(name)).map((name) => `${path} imports ${name}`)
  })
  t.strictSame(wrong, [])
})

t.test('each library is imported by one file or folder only', async (t) => {
  t.strictSame(importersOf(/^@fastify\/jwt$/), ['token/jwt-keys.ts'])
  t.strictSame(importersOf(/^@fastify\/redis$/), ['store/redis/open-client.ts'])
  t.strictSame(importersOf(/^fastify-plugin$/), ['index.ts'])
  t.strictSame(importersOf(/^node:diagnostics_channel$/), ['diagnostics/channels.ts'])
  const undici = files.filter(({ text }) => /^import (?!type ).* from 'undici'/m.test(text)).map(({ path }) => path)
  t.strictSame(undici, ['upstream/open-transport.ts'])
})

t.test('every file has at most 250 lines, and every export a doc comment', async (t) => {
  const pathsOf = (found: SourceFile[]) => found.map(({ path }) => path)
  t.strictSame(pathsOf(files.filter(({ text }) => text.split('\n').length > 250)), [], 'files over 250 lines')
  const withoutComment =
    /(?<!\*\/\n|\/\/ biome-ignore .*\n)^export (?:abstract )?(?:function|class|interface|async function) /m
  const exported = files.filter(({ path }) => path !== 'index.ts')
  t.strictSame(pathsOf(exported.filter(({ text }) => withoutComment.test(text))), [], 'exports without a doc comment')
})

/** Folders with a separate npm script. */
const WITHOUT_RUN = ['long', 'browser', 'gateway']

t.test('every test file is beside a run.test.ts, or in test/long, test/browser or test/gateway', async (t) => {
  const paths = (await readdir('test', { recursive: true })).filter(
    (path) => path.endsWith('.test.ts') && !path.startsWith('bench')
  )
  const folders = new Set(paths.map((path) => dirname(path)).filter((folder) => !WITHOUT_RUN.includes(folder)))
  const alone = [...folders].filter((folder) => !paths.includes(join(folder, 'run.test.ts')))
  t.strictSame(alone, [], 'no folder is without a run.test.ts')
})

t.test('no text calls the user or a program by a forbidden pronoun', async (t) => {
  const { stdout } = await run('git', ['ls-files', 'lib', 'test', 'examples', '.github', '.ci', 'README.md'])
  const paths = stdout
    .trim()
    .split('\n')
    .filter((path) => /\.(?:ts|js|md|yml|html)$|run$/.test(path))
  const found = await Promise.all(
    paths.map(async (path) => {
      const words = (await readFile(path, 'utf8')).match(FORBIDDEN_WORDS)
      return words === null ? [] : [`${path}: ${words.join(', ')}`]
    })
  )
  t.strictSame(found.flat(), [])
})
