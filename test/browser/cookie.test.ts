import t from 'tap'
import { launch } from './chromium.js'
import { assertEnded, fiveTabs, openPage, startServers, untilAll, withPage } from './scene.js'

t.setTimeout(600_000)
const browser = await launch(t)
const COOKIE = { transport: 'cookie' } as const

t.test('with a cookie a session ends in every tab too', async (t) => {
  const servers = await startServers(t, { cookie: true })
  const tabs = await fiveTabs(t, browser, servers.url, COOKIE)
  const [cookie] = await browser.cookies().then((cookies) => cookies.filter(({ name }) => name.includes('session')))
  t.ok(cookie === undefined || cookie.httpOnly)
  const since = Date.now()
  await servers.other.sessions.revokeAll('ada')
  t.ok((await assertEnded(t, tabs, { since, reason: 'revoked' })) <= 1_000)
})

t.test('a login by redirect is found by a page without a record', async (t) => {
  const servers = await startServers(t, { cookie: true })
  const context = await browser.createBrowserContext()
  t.teardown(() => context.close())
  const page = await context.newPage()
  await page.goto(`${servers.url}/elsewhere`)
  // As the answer of an identity provider's redirect would set the cookie.
  await page.evaluate(async () => {
    const body = JSON.stringify({ username: 'ada', password: 'x' })
    await fetch('/user/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  })
  await page.goto(`${servers.url}/?${encodeURIComponent(JSON.stringify(COOKIE))}`)
  const tab = await withPage(page)
  await untilAll([tab], 'ada')
  t.strictSame(
    (await tab.shown()).map(({ text }) => text),
    ['loading', 'ada']
  )
})

t.test('a page of a sibling origin cannot write with the cookie, and the page’s own origin can', async (t) => {
  const [servers, sibling] = [await startServers(t, { cookie: true }), await startServers(t, { cookie: true })]
  const context = await browser.createBrowserContext()
  t.teardown(() => context.close())
  const tab = await openPage(context, servers.url, COOKIE)
  await tab.logIn('ada')
  const post = () => window.test.session.fetch('/me', { method: 'POST' }).then(({ status }) => status)
  t.equal(await tab.page.evaluate(post), 200)

  const attack = await context.newPage()
  await attack.goto(`${sibling.url}/elsewhere`)
  for (const path of ['/me', '/user/logout', '/user/login']) {
    await attack.evaluate(async (url) => {
      const init = { method: 'POST', credentials: 'include', mode: 'no-cors', body: 'x=1' } as const
      await fetch(url, init).catch(() => {})
    }, servers.url + path)
  }
  const [answer] = await Promise.all([
    attack.waitForNavigation(),
    attack.evaluate((url) => {
      const form = Object.assign(document.createElement('form'), { method: 'POST', action: url })
      document.body.append(form)
      form.submit()
    }, `${servers.url}/user/logout`)
  ])
  t.equal(answer?.status(), 403)
  t.match(await attack.evaluate(() => document.body.textContent), /FST_JWT_SESSION_CROSS_SITE/)
  t.equal(await tab.page.evaluate(post), 200)
  t.equal(await tab.text(), 'ada')
})
