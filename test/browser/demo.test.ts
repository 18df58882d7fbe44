import type { Page } from 'puppeteer-core'
import t, { type Test } from 'tap'
import { startProgram } from '../fixtures/start-program.js'
import { until } from '../fixtures/until.js'
import { launch } from './chromium.js'
import { logIn, openPages, press, showAll } from './example-pages.js'

const browser = await launch(t)
const CREDENTIALS = { username: 'ada', password: 'countess of lovelace' }

/** Starts the demo, opens two pages of it, and logs in with the example account. */
async function start(t: Test) {
  const url = await startProgram(t, ['--import', 'tsx', 'examples/demo/server.ts'], { REDIS_URL: '' })
  const context = await browser.createBrowserContext()
  t.teardown(() => context.close())
  const pages = await openPages(t, context, url, 2)
  const front = pages.at(-1) as Page
  for (const page of pages) {
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) t.fail(message.text())
    })
  }

  await press(front, 'Use the example account')
  await showAll([front], 'The account exists.')
  await press(front, 'Log in')
  await showAll(pages, 'ada@example.com')
  await showAll(pages, 'Chrome on Linux')
  await front.type('#notes', 'a secret of Ada')
  return { url, pages, front }
}

/** Ends all sessions of the example account, on the server. */
async function revokeAll(url: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const login = await fetch(`${url}/user/login`, { method: 'POST', headers, body: JSON.stringify(CREDENTIALS) })
  const { access_token: token } = (await login.json()) as { access_token: string }
  await fetch(`${url}/user/sessions`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } })
}

/** Waits until nothing of the user is stored, and no page shows anything of the user. */
async function assertNothingLeft(t: Test, pages: Page[]): Promise<void> {
  for (const page of pages) {
    await until(() => page.evaluate(() => localStorage.length === 1))
    t.strictSame(await page.evaluate(() => Object.keys(localStorage)), ['fastify-jwt-session:session'])
    const seen = () => `${document.body.innerText}${JSON.stringify({ ...localStorage })}`
    // The list of stored data follows the stores twice a second.
    await until(async () => !/ada@example|eyJ|a secret/.test(await page.evaluate(seen)))
    t.equal(await page.$eval('textarea#notes', ({ value }) => value), '')
    t.equal(await page.$eval('#view-signed-in', (view) => view.checkVisibility()), false)
  }
}

t.test('the page calls nothing while nothing happens', async (t) => {
  const { pages, front } = await start(t)
  const calls: string[] = []
  const secondsOf = (text: string | null) => Number(text?.split(':')[1])
  const left = () => front.$eval('#life-left', ({ textContent }) => textContent).then(secondsOf)
  await showAll([front], 'event session')
  for (const page of pages) page.on('request', (request) => calls.push(request.url()))
  const before = await left()
  await until(async () => (before - (await left()) + 60) % 60 >= 7, 60)
  t.strictSame(calls, [])
})

t.test('a revocation shows the reason in all pages, and leaves no data', async (t) => {
  const { url, pages, front } = await start(t)
  await revokeAll(url)
  await showAll(pages, 'The session was ended from another device or by an administrator.')
  await assertNothingLeft(t, pages)
  await showAll([front], 'private_noteslocalStoragedeleted')
})

t.test('a logout shows the login in all pages, and the next login starts with no data', async (t) => {
  const { pages, front } = await start(t)
  await press(front, 'Log out')
  await showAll(pages, 'You logged out.')
  await assertNothingLeft(t, pages)
  await logIn(front, CREDENTIALS.username, CREDENTIALS.password)
  await showAll(pages, 'ada@example.com')
  t.equal(await front.$eval('textarea#notes', ({ value }) => value), '')
})

t.test('a damaged token ends the session in all pages', async (t) => {
  const { pages, front } = await start(t)
  await press(front, 'Damage the token')
  await showAll(pages, 'The server did not accept the token')
  await assertNothingLeft(t, pages)
})

t.test('“Stay logged in” extends the idle expiry', async (t) => {
  const { front } = await start(t)
  await showAll([front], 'event session')
  await until(() => front.$eval('#idle-left', ({ textContent }) => String(textContent) < '01:57'), 60)
  await press(front, 'Stay logged in')
  await showAll([front], '200POST /user/session')
  await until(() => front.$eval('#idle-left', ({ textContent }) => String(textContent) > '01:57'), 60)
  t.pass('extended')
})

t.test('without a network the page keeps data and login, and recovers', async (t) => {
  const { front } = await start(t)
  await front.setOfflineMode(true)
  await front.evaluate(() => dispatchEvent(new Event('focus')))
  await showAll([front], 'The server cannot be reached')
  t.equal(await front.$eval('textarea#notes', ({ value }) => value), 'a secret of Ada')
  await front.setOfflineMode(false)
  await front.waitForFunction(() => !document.body.textContent?.includes('The server cannot be reached'))
  t.equal(await front.$eval('#state', ({ textContent }) => textContent), 'Logged in')
})

t.test("the page fits a phone's width", async (t) => {
  const { url, front } = await start(t)
  await front.setViewport({ width: 390, height: 844, isMobile: true, hasTouch: true })
  await showAll([front], 'Chrome on Linux')
  const width = () => front.evaluate(() => document.documentElement.scrollWidth)
  t.equal(await width(), 390)
  await revokeAll(url)
  await showAll([front], 'The session was ended')
  t.equal(await width(), 390)
})
