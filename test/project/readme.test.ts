import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { transform } from 'esbuild'
import Fastify from 'fastify'
import t from 'tap'
import { fastifyJwtSession, verifySession } from '../../lib/index.js'
import { resolveOptions } from '../../lib/options/resolve-options.js'
import { SECRET } from '../fixtures/app.js'
import { brokenLinks, manualAt, manuals, rowsOf, sectionOf } from '../fixtures/manuals.js'
import { callFromPage } from '../fixtures/page.js'
import { snippetsOf } from '../fixtures/snippets.js'

const readme = manualAt('README.md')
const redisManual = manualAt('lib/store/redis/README.md')
const optionsManual = manualAt('lib/options/README.md')
const errorsManual = manualAt('lib/http/README.md')
const clientManual = manualAt('lib/client/README.md')
const map = manualAt('lib/README.md')

async function sourceOf(folder: string, extension: string): Promise<string> {
  // The browser tests install the packages of examples/react.
  const files = (await readdir(folder, { recursive: true })).filter(
    (file) => file.endsWith(extension) && !file.includes('node_modules')
  )
  return (await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))).join('')
}

t.test('the page code of the manual logs out only for the current token', async (t) => {
  const code = snippetsOf(errorsManual).find(({ language }) => language === 'js')?.code ?? ''
  const headers = { 'session-ended': 'revoked' }
  const loggedOut = { path: '/login', tokens: [], sent: 'Bearer first' }
  t.strictSame(await callFromPage(code, { headers }), loggedOut)
  const deleted = await callFromPage(code, { headers, during: (tokens) => tokens.clear() })
  t.strictSame(deleted, loggedOut, 'the page logs out also when the browser has deleted the token')
  const newer = await callFromPage(code, { headers, during: (tokens) => tokens.set('token', 'second') })
  t.match(newer, { path: '/', tokens: ['second'] }, 'a newer login is not ended')
  t.match(
    await callFromPage(code, { headers: {} }),
    { path: '/', tokens: ['first'] },
    'without the header the page stays logged in'
  )
})

t.test('the client manual has every option and function, and programs that compile', async (t) => {
  const types = await readFile('lib/client/types.ts', 'utf8')
  const namesIn = (name: string) => {
    const [, body = ''] = new RegExp(`export interface ${name}(?:<.*>)? \\{\\n(.*?)^\\}`, 'ms').exec(types) ?? []
    return [...body.matchAll(/^ {2}(\w+)[?(<:]/gm)].map(([, name]) => name).toSorted()
  }
  const namedIn = (head: string) =>
    rowsOf(clientManual, head).flatMap(([cell = '']) => [...cell.matchAll(/`(\w+)/g)].map(([, name]) => name))
  t.strictSame(namedIn('option').toSorted(), namesIn('SessionClientOptions'))
  t.strictSame(namedIn('function').toSorted(), namesIn('SessionClient'))

  const programs = snippetsOf(clientManual).filter(({ language }) => ['tsx', 'js'].includes(language))
  t.equal(programs.length, 2)
  for (const { language, code } of programs) {
    const loader = language as 'tsx' | 'js'
    const { warnings } = await transform(code, { loader, jsx: 'automatic', format: 'esm', target: 'es2022' })
    t.strictSame(warnings, [])
  }
  const react =
    programs
      .find(({ language }) => language === 'tsx')
      ?.code.trim()
      .split('\n') ?? []
  t.ok(react.length <= 60, 'the program fits on a screen')
  const shown =
    snippetsOf(readme)
      .find(({ language }) => language === 'js')
      ?.code.trim()
      .split('\n') ?? []
  const program = programs.find(({ language }) => language === 'js')?.code ?? ''
  t.strictSame(
    shown.filter((line) => line !== '' && !program.includes(line)),
    [],
    'README shows lines of the program'
  )
})

t.test('the settings of a Cluster client are the same in the manual, the example and the failover runs', async (t) => {
  const settingsOf = (text: string) => /\bslotsRefreshInterval: .*?\}/s.exec(text)?.[0].replace(/\s+/g, ' ')
  const paths = ['examples/redis-cluster.ts', 'test/long/failover/setup.ts']
  const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8')))
  t.match(settingsOf(redisManual), 'commandTimeout')
  for (const text of texts) t.equal(settingsOf(text), settingsOf(redisManual))
})

t.test('the manuals and the examples use the imported guard, which works in any order', async (t) => {
  const examples = await sourceOf('examples', '.ts')
  for (const text of [examples, ...manuals.map(({ text }) => text)]) {
    t.notMatch(text, /: \[?(?:app|fastify|scope)\.verifySession/)
  }
})

t.test('app.verifySession guards no route before register() has finished, as README warns', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream: { baseUrl: 'http://127.0.0.1:1' } })
  app.get('/open', { preHandler: app.verifySession }, async () => 'open')
  const schema = { querystring: { type: 'object', required: ['page'] } }
  app.get('/guarded', { onRequest: verifySession, schema }, async () => 'open')
  t.equal((await app.inject('/open')).body, 'open')
  t.equal((await app.inject('/guarded')).statusCode, 401, 'the imported guard works, and runs before the schema')
})

t.test('the options manual has every option and no other option', async (t) => {
  const names = ['options', 'route-options', 'upstream-options', 'cookie-options', 'identity-options'].map(
    (name) => `lib/options/${name}.ts`
  )
  const files = [...names, 'lib/upstream/token-options.ts'].map((file) => readFile(file, 'utf8'))
  const source = (await Promise.all(files)).join('')
  const options = [...source.matchAll(/^ {2,}(\w+)\??:/gm)].map(([, name]) => name)
  const cells = rowsOf(optionsManual, 'option').map(([cell = '']) => cell)
  const documented = cells.flatMap((cell) => [...cell.matchAll(/`([\w.]+)`/g)].map(([, path = '']) => path.split('.')))
  const groups = ['jwt', 'session', 'routes', 'breaker', 'path', 'schema', 'config', 'url', 'option']
  const missing = options.filter(
    (name) => !groups.includes(name ?? '') && !documented.some((path) => path.at(-1) === name)
  )
  t.strictSame(missing, [])
  const unknown = documented.flat().filter((name) => !options.includes(name))
  t.strictSame(unknown, [])
})

t.test('the options manual and README have the defaults of the code', async (t) => {
  const upstream = { baseUrl: 'http://127.0.0.1:1', tokens: { secrets: `${SECRET}, for tokens` } }
  const resolved = resolveOptions({ jwt: { secret: SECRET }, upstream, cache: true, routes: { events: {} } })
  const { session, breaker } = resolved
  const http = resolved.upstream?.kind === 'http' ? resolved.upstream.options : null
  const { refreshBeforeMs = 0, ...tokens } = http?.tokens ?? {}
  const defaults = { ...resolved, ...http, ...resolved.cache, ...resolved.routes.events, ...breaker.store } as Record<
    string,
    unknown
  >
  Object.assign(defaults, tokens, { refreshBeforeSeconds: refreshBeforeMs / 1_000 })
  Object.assign(defaults, session, { maxPerUser: session.limit.max })
  const identity = sectionOf(optionsManual, 'Identity')
  const rows = rowsOf(optionsManual.replace(identity, ''), 'option').filter(([, , byDefault = '']) =>
    /^\d/.test(byDefault)
  )
  t.ok(rows.length >= 11, `${rows.length} numbers`)
  for (const [cell = '', , byDefault = ''] of rows) {
    const name = /([\w]+)`/.exec(cell)?.[1] ?? ''
    t.equal(Number.parseInt(byDefault.replace(/(?<=\d) (?=\d)/g, ''), 10), defaults[name], cell)
  }
  t.equal(breaker.upstream.maxInFlight, 500)
  const key = { key: 'a secret of identity tokens, 32 bytes', issuer: 'i', audience: 'a' }
  const { ttlSeconds } =
    resolveOptions({ jwt: { secret: SECRET }, upstream, routes: { verify: {} }, identity: key }).identity ?? {}
  t.match(rowsOf(identity, 'option'), [...Array(3).fill([]), ['`ttlSeconds`', /./, String(ttlSeconds)]])

  const firstThree = (rows: string[][]) => rows.map((row) => row.slice(0, 3).join(' | '))
  const all = firstThree(rowsOf(optionsManual, 'option'))
  t.strictSame(
    firstThree(rowsOf(readme, 'option')).filter((row) => !all.includes(row)),
    []
  )
})

t.test('the errors manual has every code and reason, and README the errors that a client gets', async (t) => {
  const source = await sourceOf('lib', '.ts')
  const codes = (text: string) => [...new Set(text.match(/FST_JWT_SESSION_[A-Z_]*[A-Z]/g))].toSorted()
  t.strictSame(codes(errorsManual), codes(source))
  for (const { path, text } of manuals)
    t.strictSame(
      codes(codes(text).join()).filter((code) => !codes(source).includes(code)),
      [],
      path
    )

  const statuses = new Map(
    [...source.matchAll(/'(FST_JWT_SESSION_\w+)',\s*(\d{3}),/g)].map(([, code, status]) => [code, status])
  )
  const rows = rowsOf(errorsManual, 'status').map(([status, code]) => [status, code])
  for (const [status = '', code = ''] of rows) {
    const known = statuses.get(code.replaceAll('`', ''))
    if (known !== undefined) t.equal(status, known, code)
  }
  const inReadme = rowsOf(readme, 'status').map(([status, code]) => [status, code])
  t.strictSame(inReadme.toSorted(), rows.toSorted())

  const declared = /export type SessionEndReason =([^/]*?)\n\n/.exec(await readFile('lib/errors.ts', 'utf8'))?.[1]
  const reasons = [...(declared ?? '').matchAll(/'(\w+)'/g)].map(([, reason]) => `\`${reason}\``)
  t.strictSame(
    rowsOf(errorsManual, 'reason')
      .map(([reason]) => reason)
      .toSorted(),
    reasons.toSorted()
  )
  for (const reason of reasons.filter((reason) => reason !== '`logged_in_again`')) t.ok(readme.includes(reason), reason)
})

t.test('README has every route and no other route', async (t) => {
  const app = Fastify({ exposeHeadRoutes: false })
  t.teardown(() => app.close())
  const mounted: string[] = []
  app.addHook('onRoute', ({ method, url }) => void mounted.push(`\`${method} ${url}\``))
  const upstream = { baseUrl: 'http://127.0.0.1:1' }
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, routes: { events: {}, sessions: {} } })
  const rows = rowsOf(readme, 'route').map(([route]) => route)
  t.strictSame(rows.toSorted(), mounted.toSorted())
})

t.test('every relative link of every manual leads to a file and to a heading', async (t) => {
  for (const manual of manuals) t.strictSame(brokenLinks(manual), [], manual.path)
})

t.test('README has at most 2,200 words, and figures of the benchmark results', async (t) => {
  t.ok(readme.trim().split(/\s+/).length <= 2_200)
  const results = sectionOf(await readFile('test/bench/results/results.md', 'utf8'), '`GET /me` with a session')
  const figures = [...readme.matchAll(/^.* █+ ([\d,]+)$/gm)].map(([, figure]) => figure)
  t.equal(figures.length, 4)
  for (const figure of figures) t.ok(results.includes(`| ${figure} (`), `${figure} is one of the results`)
})

t.test('lib/README.md has every folder and file of lib, and no other', async (t) => {
  const entries = await readdir('lib', { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map(({ name }) => name)
  const pathOf = (parent: string, name: string) => join(parent, name).replace(/^lib\//, '')
  const paths = entries.map(({ parentPath, name }) => pathOf(parentPath, name))
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ parentPath, name }) => pathOf(parentPath, name))
  const picture = [...sectionOf(map, 'Folders').matchAll(/^ {2}(\S+) {2,}\S/gm)].map(([, path = '']) => path)
  const root = (await readdir('lib')).filter((name) => name.endsWith('.ts'))
  t.strictSame(picture.toSorted(), [...folders.map((path) => `${path}/`), ...root].toSorted())

  const named = [...map.matchAll(/`([\w./-]+\.(?:tsx?|js))`/g)].map(([, path = '']) => path)
  t.ok(named.length > 30)
  const isThere = (path: string) =>
    path === basename(path) ? files.includes(path) : paths.includes(path) || existsSync(path)
  t.strictSame(
    named.filter((path) => !isThere(path)),
    []
  )
})

t.test('UPGRADING has the current version of the records', async (t) => {
  const version = /^const VERSION = (\d+)$/m.exec(await readFile('lib/model/session-record.ts', 'utf8'))?.[1]
  const [, writes, reads] = rowsOf(manualAt('.github/UPGRADING.md'), 'release').at(0) ?? []
  t.equal(writes, version)
  t.equal(reads, `${Number(version) - 1}, ${version}, ${Number(version) + 1}`)
})
