import { build, type Metafile } from 'esbuild'
import t from 'tap'

async function bundle(entry: string): Promise<Metafile['inputs']> {
  const { metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    metafile: true,
    write: false,
    logLevel: 'error'
  })
  return metafile.inputs
}

const filesBehind = async (entry: string) => Object.keys(await bundle(entry))

t.test('neither the plugin nor the client loads a file of the helpers for tests', async (t) => {
  const isHelper = (path: string) => path.startsWith('lib/testing/')
  for (const entry of ['lib/index.ts', 'lib/client/index.ts']) {
    const files = await filesBehind(entry)
    t.ok(files.includes(entry), entry)
    t.strictSame(files.filter(isHelper), [], entry)
  }
  t.ok((await filesBehind('lib/testing/index.ts')).filter(isHelper).length > 5)
})

t.test('the helpers need no test framework and no package but those of the plugin', async (t) => {
  const imported = Object.values(await bundle('lib/testing/index.ts')).flatMap(({ imports }) => imports)
  const packages = imported.filter(({ external }) => external).map(({ path }) => path)
  const others = packages.filter((path) => !/^node:|^typebox(?:\/|$)|^@fastify\/jwt$|^undici$/.test(path))
  t.strictSame([...new Set(others)], [])
})
