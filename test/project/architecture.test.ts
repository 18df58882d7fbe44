import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'

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

function importersOf(matches: RegExp): string[] {
  return files.filter(({ imports }) => imports.some((name) => matches.test(name))).map(({ path }) => path)
}

t.test('imports run one way', async (t) => {
  t.strictSame(importersOf(/^index\.ts$/), [], 'nobody imports index')
  t.strictSame(importersOf(/^routes\/index\.ts$/), ['index.ts'], 'only index mounts the routes')
  const seen = new Set<string>()
  const visit = (path: string, trail: string[]): void => {
    t.notOk(trail.includes(path), `no cycle: ${[...trail, path].join(' → ')}`)
    if (seen.has(path) || trail.includes(path)) return
    for (const name of files.find((file) => file.path === path)?.imports ?? []) visit(name, [...trail, path])
    seen.add(path)
  }
  visit('index.ts', [])
  for (const folder of ['store', 'upstream']) {
    const outward = files
      .filter(({ path }) => path.startsWith(`${folder}/`))
      .flatMap(({ imports }) => imports.filter((name) => /^(?:routes\/|guard\/|sessions\.ts)/.test(name)))
    t.strictSame(outward, [], `${folder} knows nothing of what is built on it`)
  }
  const readers = importersOf(/^options\//).filter((path) => path.startsWith('upstream/'))
  t.strictSame(readers, [], 'upstream has a config of its own')
})

t.test('each library has one file or folder that knows it', async (t) => {
  t.strictSame(importersOf(/^@fastify\/jwt$/), ['token/access-token.ts'])
  t.strictSame(importersOf(/^@fastify\/redis$/), ['store/redis/open-client.ts'])
  t.strictSame(importersOf(/^fastify-plugin$/), ['index.ts'])
  const undici = files.filter(({ text }) => /^import (?!type ).* from 'undici'/m.test(text)).map(({ path }) => path)
  t.strictSame(undici, ['upstream/http-upstream.ts'])
})

t.test('every file can be read at one sitting', async (t) => {
  for (const { path, text } of files) t.ok(text.split('\n').length <= 250, path)
  const exported = files.map(({ path, text }) => ({ path, text })).filter(({ path }) => path !== 'index.ts')
  for (const { path, text } of exported) {
    t.notMatch(
      text,
      /(?<!\*\/\n|\/\/ biome-ignore .*\n)^export (?:abstract )?(?:function|class|interface|async function) /m,
      `${path} has doc comments`
    )
  }
})

t.test('every test file lies beside a run.test.ts, which runs it, or in test/long', async (t) => {
  const paths = (await readdir('test', { recursive: true })).filter(
    (path) => path.endsWith('.test.ts') && !path.startsWith('bench')
  )
  const folders = new Set(paths.map((path) => dirname(path)).filter((folder) => folder !== 'long'))
  const alone = [...folders].filter((folder) => !paths.includes(join(folder, 'run.test.ts')))
  t.strictSame(alone, [], 'without a run.test.ts')
})
