import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type ts from 'typescript'
import { createProgram, typeErrors } from '../fixtures/type-check.js'
import { unwatched } from '../fixtures/unwatched.js'

const run = promisify(execFile)

const OPTIONS = `{ jwt: { secret: 'a secret of this test, 32 bytes or more' }, upstream: { login: async () => ({ user: { id: 1 } }) } }`
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

/** The packages that the project installs beside the tarball. */
const PACKAGES = [
  ...[
    'fastify@5',
    'typebox@1',
    '@types/node@20',
    '@fastify/cookie@11',
    '@fastify/session@11',
    '@fastify/secure-session@8'
  ],
  ...['5.6', '5.9', '6.0'].map((version) => `typescript-${version}@npm:typescript@~${version}`),
  ...[6, 7, 8].map((version) => `undici-${version}@npm:undici@${version}`)
]

/** Programs of users, which are only compiled. */
const PROGRAMS = 'test/types/consumer'
const DECLARATIONS = '/fastify-jwt-session/dist/'
const STRICT = { noEmit: true, strict: true, exactOptionalPropertyTypes: true, target: 'es2022', types: ['node'] }

/** Packs the tarball as for a publication. `npm run test:long` has built the package. */
async function pack(t: Test): Promise<{ folder: string; tarball: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'fjs-package-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await run(...unwatched('npm', 'pack', '--ignore-scripts', '--pack-destination', folder))
  const [tarball = ''] = await readdir(folder)
  return { folder, tarball: join(folder, tarball) }
}

t.test('the tarball of the package', async (t) => {
  const { folder, tarball } = await pack(t)

  t.test('the tarball has only files that a user needs', async (t) => {
    const { stdout } = await run('tar', ['tzf', tarball])
    const files = stdout
      .trim()
      .split('\n')
      .map((file) => file.replace('package/', ''))
    const others = files.filter((file) => !/^dist\/[\w/-]+\.(?:js|d\.ts)$/.test(file))
    const manuals = [
      '.github/SECURITY.md',
      '.github/UPGRADING.md',
      'LICENSE',
      'README.md',
      'package.json',
      ...(await readdir('examples')).filter((name) => /\.(?:md|ts)$/.test(name)).map((name) => `examples/${name}`),
      ...(await readdir('examples/gateway')).map((name) => `examples/gateway/${name}`),
      ...(await readdir('lib', { recursive: true }))
        .filter((name) => name.endsWith('/README.md'))
        .map((name) => `lib/${name}`)
    ]
    t.strictSame(others.toSorted(), manuals.toSorted(), 'all other files are manuals')
    t.ok(files.includes('dist/index.js') && files.includes('dist/index.d.ts'))
  })

  t.test('publint and attw find no fault', async () => {
    await run(...unwatched('node_modules/.bin/publint', '--strict', tarball))
    await run(...unwatched('node_modules/.bin/attw', '--profile', 'esm-only', tarball))
  })

  t.test('the tarball works in a separate project', { timeout: 240_000 }, async (t) => {
    const write = (name: string, text: string) => writeFile(join(folder, name), text)
    await write('package.json', JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
    const install = ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball, ...PACKAGES]
    await run(...unwatched('npm', ...install), { cwd: folder })

    t.test('an ES module can import the default and the named export', async () => {
      await write(
        'esm.js',
        `import Fastify from 'fastify'
         import plugin, { fastifyJwtSession, verifySession, createMemoryStore } from 'fastify-jwt-session'
         if (plugin !== fastifyJwtSession || !verifySession || !createMemoryStore) throw new Error('exports')
         const app = Fastify()\n${USE_JS}`
      )
      await run(...unwatched(process.execPath, 'esm.js'), { cwd: folder })
    })

    t.test('a CommonJS module can require the package', async () => {
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

    t.test('a TypeScript program with a bundler compiles, and the declarations have no error', async (t) => {
      const consumer = join(folder, 'consumer.ts')
      await write(
        'consumer.ts',
        `import Fastify from 'fastify'\nimport plugin from 'fastify-jwt-session'\nconst app = Fastify()\n${USE}`
      )
      const isOurs = (path: string) => path === consumer || path.includes(DECLARATIONS)
      const options = { ...STRICT, module: 'esnext', moduleResolution: 'bundler' }
      const program = createProgram({ files: [consumer], options })
      const checked = program.getSourceFiles().filter(({ fileName }) => isOurs(fileName))
      t.ok(checked.length > 5, `${checked.length} files`)
      // Without the declarations of dependencies: TypeBox takes 20 s, and .ci/run checks all declarations.
      t.equal(typeErrors(program, isOurs), '')
    })

    t.test('a program with every option and export compiles with each supported version of TypeScript', async (t) => {
      const names = ['all-options.ts', 'guard-and-routes.ts', 'logins.ts', 'testing.ts', 'upstreams.ts']
      const files = await copyPrograms(names)
      const load = createRequire(join(folder, 'package.json'))
      for (const name of ['typescript-5.6', 'typescript-5.9', 'typescript-6.0']) {
        const compiler: typeof ts = load(name)
        const program = createProgram({ files, options: { ...STRICT, module: 'nodenext' }, compiler })
        t.ok(name.endsWith(compiler.versionMajorMinor), compiler.version)
        t.equal(
          typeErrors(program, (path) => files.includes(path) || path.includes(DECLARATIONS)),
          '',
          name
        )
      }
    })

    t.test('the types work beside another package that declares request.session', async (t) => {
      const files = await copyPrograms(['beside-session.ts', 'beside-secure-session.ts'])
      const options = { ...STRICT, module: 'nodenext' }
      const checked = [
        ...files,
        DECLARATIONS,
        '/@fastify/session/',
        '/@fastify/secure-session/',
        '/fastify/types/request'
      ]
      const isChecked = (path: string) => checked.some((part) => path.includes(part))
      for (const file of files) t.equal(typeErrors(createProgram({ files: [file], options }), isChecked), '', file)

      const [file = ''] = files
      await writeFile(file, (await readFile(file, 'utf8')).replace('requestSession: false', 'other: false'))
      const errors = typeErrors(createProgram({ files: [file], options }), isChecked)
      t.match(errors, 'FastifyJwtSessionRequest', 'without the line of the manual the declarations conflict')
    })

    /** Copies programs into the project with the installed types. */
    async function copyPrograms(names: string[]): Promise<string[]> {
      const copies = names.map((name) => join(folder, name))
      await Promise.all(names.map((name, index) => copyFile(join(PROGRAMS, name), copies[index] ?? '')))
      return copies
    }
  })
})
