import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createProgram, typeErrors } from './fixtures/type-check.js'
import { unwatched } from './fixtures/unwatched.js'

const run = promisify(execFile)

const OPTIONS = `{ jwt: { secret: 'a secret of this test, 32 bytes or more' }, upstream: { login: async () => ({ id: 1 }) } }`
const USE = `
  await app.register(plugin, ${OPTIONS})
  app.get('/me', { preHandler: app.verifySession }, async (request) => request.session.user.id)
  const login = { method: 'POST', url: '/user/login', payload: { username: 'a', password: 'b' } } as const
  const { access_token } = (await app.inject(login)).json()
  const answer = await app.inject({ url: '/me', headers: { authorization: 'Bearer ' + access_token } })
  if (answer.body !== '1') throw new Error(answer.body)
  await app.close()
`
const USE_JS = USE.replace(' as const', '')

/** The tarball as npm would publish it; `npm test` has built it. */
async function pack(t: Test): Promise<{ folder: string; tarball: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'fjs-package-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await run(...unwatched('npm', 'pack', '--ignore-scripts', '--pack-destination', folder))
  const [tarball = ''] = await readdir(folder)
  return { folder, tarball: join(folder, tarball) }
}

t.test('the tarball', async (t) => {
  const { folder, tarball } = await pack(t)

  t.test('holds what a user needs and nothing else', async (t) => {
    const { stdout } = await run('tar', ['tzf', tarball])
    const files = stdout
      .trim()
      .split('\n')
      .map((file) => file.replace('package/', ''))
    const others = files.filter((file) => !/^dist\/[\w/-]+\.(?:js|d\.ts)$/.test(file))
    t.strictSame(others.toSorted(), ['LICENSE', 'README.md', 'package.json'])
    t.ok(files.includes('dist/index.js') && files.includes('dist/index.d.ts'))
  })

  t.test('has no fault that publint and attw know', async () => {
    await run(...unwatched('node_modules/.bin/publint', '--strict', tarball))
    await run(...unwatched('node_modules/.bin/attw', '--profile', 'esm-only', tarball))
  })

  t.test('works in a project of its own', { timeout: 120_000 }, async (t) => {
    const write = (name: string, text: string) => writeFile(join(folder, name), text)
    await write('package.json', JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
    const packages = [tarball, 'fastify@5', 'typebox@1', '@types/node@20']
    const install = ['install', '--prefer-offline', '--no-audit', '--no-fund', ...packages]
    await run(...unwatched('npm', ...install), { cwd: folder })

    t.test('from ESM, by the default and by the named export', async () => {
      await write(
        'esm.js',
        `import Fastify from 'fastify'
         import plugin, { fastifyJwtSession, verifySession, createMemoryStore } from 'fastify-jwt-session'
         if (plugin !== fastifyJwtSession || !verifySession || !createMemoryStore) throw new Error('exports')
         const app = Fastify()\n${USE_JS}`
      )
      await run(...unwatched(process.execPath, 'esm.js'), { cwd: folder })
    })

    t.test('from CommonJS', async () => {
      await write(
        'cjs.cjs',
        `const Fastify = require('fastify')
         const plugin = require('fastify-jwt-session')
         const app = Fastify()
         async function main() {\n${USE_JS}}
         main()`
      )
      await run(...unwatched(process.execPath, '--no-warnings', 'cjs.cjs'), { cwd: folder })
    })

    t.test('from TypeScript, with its declarations checked too', async (t) => {
      const consumer = join(folder, 'consumer.ts')
      await write(
        'consumer.ts',
        `import Fastify from 'fastify'\nimport plugin from 'fastify-jwt-session'\nconst app = Fastify()\n${USE}`
      )
      const common = { noEmit: true, strict: true, exactOptionalPropertyTypes: true, target: 'es2022', types: ['node'] }
      const resolutions = [{ module: 'nodenext' }, { module: 'esnext', moduleResolution: 'bundler' }]
      const isOurs = (path: string) => path === consumer || path.includes('/fastify-jwt-session/dist/')
      for (const resolution of resolutions) {
        const program = createProgram({ files: [consumer], options: { ...common, ...resolution } })
        const checked = program.getSourceFiles().filter(({ fileName }) => isOurs(fileName))
        t.ok(checked.length > 5, `${checked.length} files`)
        // Not those of the packages below: it takes 20 s to check the declarations of TypeBox, as .ci/run does already.
        t.equal(typeErrors(program, isOurs), '')
      }
    })
  })
})
