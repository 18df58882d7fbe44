import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Page } from 'puppeteer-core'
import t, { type Test } from 'tap'
import { startProgram } from '../fixtures/start-program.js'
import { until } from '../fixtures/until.js'
import { unwatched } from '../fixtures/unwatched.js'
import { launch } from './chromium.js'
import { forgetShown, logIn, openPages, press, showAll, shownBy } from './example-pages.js'

const run = promisify(execFile)
const FOLDER = 'examples/react'

// As its reader would: with the packages of the lock file, and with the library as it was built.
for (const command of ['ci', 'run build']) {
  await run(...unwatched('npm', ...command.split(' '), '--prefix', FOLDER))
}
const browser = await launch(t)

/** Starts the example, and opens pages of it. */
async function start(t: Test, { pages = 1, args = ['--built'], env = {} } = {}) {
  const url = await startProgram(t, ['--import', 'tsx', `${FOLDER}/start.ts`, ...args], env)
  const context = await browser.createBrowserContext()
  t.teardown(() => context.close())
  const opened = await openPages(t, context, url, pages)
  await showAll(opened, 'Log in')
  return { url, pages: opened, front: opened.at(-1) as Page }
}

/** Ends all sessions of a user, on the server. */
async function revokeAll(url: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ username: 'ada', password: 'lovelace' })
  const login = await fetch(`${url}/user/login`, { method: 'POST', headers, body })
  const { access_token: token } = (await login.json()) as { access_token: string }
  await fetch(`${url}/user/sessions`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } })
}

/** Puts data of the user into all stores of the page, and a theme into the store that stays. */
async function fillStores(page: Page): Promise<void> {
  await page.type('textarea', 'a secret of Ada')
  await press(page, 'dark theme')
  await page.evaluate(async () => {
    await new Promise((resolve) => {
      indexedDB.open('data of Ada').onsuccess = ({ target }) => {
        ;(target as IDBOpenDBRequest).result.close()
        resolve(target)
      }
    })
    await caches.open('data of Ada')
  })
}

function storesOf(page: Page): Promise<unknown> {
  return page.evaluate(async () => ({
    local: Object.keys(localStorage).toSorted(),
    session: Object.keys(sessionStorage),
    databases: (await indexedDB.databases()).map(({ name }) => name),
    caches: await caches.keys()
  }))
}

const EMPTY = { local: ['fastify-jwt-session:session', 'theme'], session: [], databases: [], caches: [] }

/** Waits until all stores of all pages are empty, but the theme. */
async function assertEmpty(t: Test, pages: Page[]): Promise<void> {
  for (const page of pages) {
    await until(async () => JSON.stringify(await storesOf(page)) === JSON.stringify(EMPTY)).catch(() => {})
    t.strictSame(await storesOf(page), EMPTY)
    t.notMatch(await page.evaluate(() => JSON.stringify({ ...localStorage })), /ada|eyJ/i, 'no user and no token')
  }
}

t.test('five pages of one browser, four of them hidden', async (t) => {
  const { url, pages, front } = await start(t, { pages: 5 })
  const visibility = await Promise.all(pages.map((page) => page.evaluate(() => document.visibilityState)))
  t.strictSame(visibility, ['hidden', 'hidden', 'hidden', 'hidden', 'visible'])

  await t.test('a wrong password opens no page', async (t) => {
    await logIn(front, 'ada', 'wrong')
    await showAll([front], 'Wrong user name or password.')
    t.equal(
      await front.$eval('input[name=username]', ({ value }) => value),
      'ada',
      'and the name need not be typed again'
    )
    await front.reload()
  })

  await t.test('a login in one page shows the user and the data of the user in all pages', async () => {
    await logIn(front, 'ada', 'lovelace')
    await showAll(pages, 'Hello, Ada')
    await showAll(pages, 'Tea for Ada')
  })

  await t.test('a revocation shows the login and the reason in all pages, and empties all stores', async (t) => {
    await fillStores(front)
    await Promise.all(pages.map((page) => page.evaluate(() => sessionStorage.setItem('data', 'of Ada'))))
    await revokeAll(url)
    const startedAt = performance.now()
    await showAll(pages, 'You have been logged out from another device.')
    t.comment(`shown by all pages after ${Math.round(performance.now() - startedAt)} ms`)
    await assertEmpty(t, pages)
  })

  await t.test('a login as another user never shows the data of the first user', async (t) => {
    await Promise.all(pages.map(forgetShown))
    await logIn(front, 'grace', 'hopper')
    await showAll(pages, 'Wire for Grace')
    for (const page of pages) t.notMatch(await shownBy(page), /Ada|secret/)
  })

  await t.test('a logout in one page shows the login in all pages', async (t) => {
    await press(front, 'Log out')
    await showAll(pages, 'You have logged out.')
    await assertEmpty(t, pages)
  })
})

t.test('a countdown before the idle expiry lets the user stay, in all pages', async (t) => {
  const { pages, front } = await start(t, { pages: 2, env: { IDLE_SECONDS: '20' } })
  await logIn(front, 'ada', 'lovelace')
  await showAll(pages, 'You will be logged out in')
  const secondsOf = (page: Page) => page.$eval('[role=timer]', ({ textContent }) => Number(textContent))
  const isOver = async (seconds: number) => (await Promise.all(pages.map(secondsOf))).every((left) => left > seconds)
  await until(async () => !(await isOver(16)), 60)
  await press(front, 'Stay logged in')
  await until(() => isOver(17), 60)
  t.pass('extended')
  await showAll(pages, 'You have been logged out: the session has expired.')
})

t.test('with the development server of `npm start`, and so with effects that run twice (StrictMode)', async (t) => {
  const { url, pages, front } = await start(t, { pages: 2, args: [] })
  let streams = 0
  for (const page of pages) {
    page.on('request', (request) => {
      if (request.url() === `${url}/user/session/events`) streams++
    })
  }
  const cached = (page: Page) =>
    page.evaluate(`Promise.all([import('/src/session.ts'), import('/src/stores.ts')]).then(
      ([{ queryClient }, { useNotes }]) => ({ queries: queryClient.getQueryCache().getAll().length, ...useNotes.getState() })
    )`)

  await t.test('one stream is opened', async (t) => {
    await logIn(front, 'ada', 'lovelace')
    await showAll(pages, 'Tea for Ada')
    t.equal(streams, 1)
  })

  await t.test('query cache and store are empty after the end', async (t) => {
    await front.type('textarea', 'a secret of Ada')
    t.strictSame(await cached(front), { queries: 1, text: 'a secret of Ada' })
    await revokeAll(url)
    await showAll(pages, 'You have been logged out from another device.')
    for (const page of pages) t.strictSame(await cached(page), { queries: 0, text: '' })
  })

  await t.test('a login as another user, while the first is logged in, leaves no data of the first', async (t) => {
    await logIn(front, 'ada', 'lovelace')
    await showAll(pages, 'Tea for Ada')
    await front.type('textarea', 'a secret of Ada')
    await Promise.all(pages.map(forgetShown))
    await front.evaluate(
      `import('/src/session.ts').then(({ session }) => session.login({ username: 'grace', password: 'hopper' }))`
    )
    await showAll(pages, 'Wire for Grace')
    for (const page of pages) {
      t.strictSame(await cached(page), { queries: 1, text: '' })
      t.notMatch(await shownBy(page), /Ada|secret/)
      t.notMatch(await page.evaluate(() => JSON.stringify({ ...localStorage })), /ada|secret/i)
    }
  })
})
