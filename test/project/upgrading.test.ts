import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { manualAt, rowsOf, sectionOf } from '../fixtures/manuals.js'
import { snippetsOf } from '../fixtures/snippets.js'

const manual = sectionOf(manualAt('.github/UPGRADING.md'), 'Moving here')
const { resolve } = createRequire(import.meta.url)

const codeIn = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)
const namesIn = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, name = '']) => name)

/** The names that the table of a package has in its first column. */
function namedFor(name: string): string[] {
  return rowsOf(manual, name).flatMap(([old]) => codeIn(old))
}

function assertNames(t: Test, name: string, all: readonly string[]): void {
  const named = namedFor(name)
  t.ok(all.length > 5, `${all.length} names of ${name}`)
  t.strictSame(named.toSorted(), [...new Set(all)].toSorted(), name)
}

const packageFile = (name: string, file: string) => readFile(join(dirname(resolve(name)), file), 'utf8')

t.test('the tables of moving here name every option and method of the other libraries', async (t) => {
  const options = await packageFile('jwt-redis-session', 'lib/jwtRedisSession.js')
  const methods = await packageFile('jwt-redis-session', 'lib/utils.js')
  assertNames(t, 'jwt-redis-session', [
    ...namesIn(options, /^\t\t(\w+): options\.\w+/gm),
    ...namesIn(methods, /^\t\t(\w+): function/gm)
  ])

  const express = await packageFile('express-session', 'README.md')
  assertNames(t, 'express-session', [
    ...namesIn(express, /^##### (?!cookie$)([\w.]+)$/gm),
    ...namesIn(express, /^#### Session\.(\w+)\(/gm)
  ])

  const fastify = await packageFile('@fastify/session', 'README.md')
  assertNames(t, '@fastify/session', [
    ...namesIn(fastify, /^##### (\w+)/gm),
    ...namesIn(fastify, /^#### Session#(\w+)\(/gm),
    ...namesIn(fastify, /^### fastify\.(decryptSession)/gm)
  ])
})

t.test('the tables of moving here name options, routes and methods that are there', async (t) => {
  const options = rowsOf(manualAt('lib/options/README.md'), 'option').flatMap(([cell]) => codeIn(cell))
  const cookieOptions = rowsOf(sectionOf(manualAt('lib/options/README.md'), 'Cookie'), 'option')
  const known = [
    ...options,
    ...cookieOptions.flatMap(([cell]) => codeIn(cell).map((name) => `cookie.${name}`)),
    ...rowsOf(manualAt('README.md'), 'route').flatMap(([cell]) => codeIn(cell)),
    ...namesIn(await readFile('lib/sessions.ts', 'utf8'), /^ {2}(\w+)\(/gm).map((name) => `app.sessions.${name}()`),
    'request.session',
    'request.session.data',
    'request.session.update()'
  ]
  const literals = ['data', '{ url }', 'keyPrefix', 'fjs:', '__Host-', 'Max-Age', 'Secure', 'HttpOnly', 'Path=/', 'lax']
  const others = ['strict', 'Authorization: Bearer', 'trustProxy', 'update()', 'session: { slide: false }']
  const here = ['jwt-redis-session', 'express-session', '@fastify/session'].flatMap((name) =>
    rowsOf(manual, name).flatMap(([, cell]) => codeIn(cell))
  )
  const isKnown = (code: string) => [...known, ...literals, ...others].includes(code.replace(/: false$/, ''))
  t.ok(here.length > 40, `${here.length} names`)
  t.strictSame(
    here.filter((code) => !isKnown(code)),
    []
  )
})

/** The status of another tab's exchange, and of the limit of sessions. */
const [EXCHANGING, LIMIT_REACHED] = [{ status: 409, headers: { 'retry-after': '1' } }, { status: 409 }]

/** Runs the code of the page. The answers of the exchange come in turn. */
async function runPage(stored: string | null, answers: ResponseInit[]) {
  const code = snippetsOf(manual).find(({ language }) => language === 'js')?.code ?? ''
  const storage = new Map(stored === null ? [] : [['accessToken', stored]])
  const adopted: unknown[] = []
  const calls: unknown[] = []
  const page = {
    createSessionClient: () => ({ adopt: async (answer: unknown) => void adopted.push(answer) }),
    localStorage: {
      getItem: (key: string) => storage.get(key) ?? null,
      removeItem: (key: string) => storage.delete(key)
    },
    setTimeout: (resolve: () => void) => setImmediate(resolve),
    fetch: async (...call: unknown[]) => {
      calls.push(call)
      return new Response('{"access_token":"new"}', answers.shift() ?? { status: 500 })
    }
  }
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor
  await AsyncFunction(...Object.keys(page), code)(...Object.values(page))
  return { adopted, calls, isStored: storage.has('accessToken') }
}

t.test('the page of moving here exchanges first, and keeps the old token until there is an answer', async (t) => {
  const call = ['/user/exchange', { method: 'POST', headers: { 'x-access-token': 'old' } }]
  const adopted = [{ access_token: 'new' }]
  t.strictSame(await runPage('old', [{ status: 200 }]), { adopted, calls: [call], isStored: false })
  const later = await runPage('old', [{ status: 503 }, EXCHANGING, { status: 200 }])
  t.strictSame(later, { adopted, calls: [call, call, call], isStored: false })
  for (const final of [{ status: 401 }, { status: 410 }, LIMIT_REACHED]) {
    t.strictSame(await runPage('old', [final]), { adopted: [], calls: [call], isStored: false })
  }
  t.strictSame(await runPage(null, []), { adopted: [], calls: [], isStored: false })
})

t.test('the answers of the exchange are those of the examples', async (t) => {
  const statuses = rowsOf(manual, 'the exchange answers').map(([cell = '']) => Number(cell.slice(0, 3)))
  t.strictSame([...new Set(statuses)], [200, 401, 403, 409, 410, 503])
  const files = ['jwt', 'express'].map((name) => readFile(`test/examples/migrate-${name}.test.ts`, 'utf8'))
  const tests = (await Promise.all(files)).join('')
  for (const status of statuses) t.match(tests, new RegExp(`status(?:,| ===) ${status}`))
  const lock = /LOCK_MS = (\d)_000/.exec(await readFile('examples/exchange-session.ts', 'utf8'))?.[1]
  t.match(manual, `A lock of ${lock} s`)
})
