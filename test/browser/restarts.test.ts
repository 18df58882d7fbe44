import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { launch } from './chromium.js'
import { assertEnded, fiveTabs, openPage, startServers, type TestPage, untilAll } from './scene.js'

t.setTimeout(600_000)
const browser = await launch(t)
const RECORD = 'fastify-jwt-session:session'

t.test('a new process takes the place of a killed server, twice, and the session has ended meanwhile', async (t) => {
  const servers = await startServers(t)
  const tabs = await fiveTabs(t, browser, servers.url)
  await servers.kill()
  await servers.start()
  await servers.kill()
  await servers.other.sessions.revokeAll('ada')
  await servers.start()
  // The new process accepts connections.
  const since = Date.now()
  t.ok((await assertEnded(t, tabs, { since, reason: 'revoked' })) <= 1_000)
})

t.test('Redis stalls while tabs are looked at: the next end is known within a second', async (t) => {
  const servers = await startServers(t)
  const tabs = await fiveTabs(t, browser, servers.url)
  servers.redis.stall()
  for (const { page } of tabs) await page.bringToFront()
  await delay(10_000)
  servers.redis.resume()
  await delay(1_000)
  const since = Date.now()
  await servers.other.sessions.revokeAll('ada')
  t.ok((await assertEnded(t, tabs, { since, reason: 'revoked' })) <= 1_000)
})

t.test('after each of many logouts no tab has a token, or a logout that the server must be told of', async (t) => {
  const servers = await startServers(t)
  const context = await browser.createBrowserContext()
  t.teardown(() => context.close())
  const tabs: TestPage[] = []
  for (let i = 0; i < 5; i++) tabs.push(await openPage(context, servers.url))
  for (let round = 0; round < 40; round++) {
    const tab = tabs[round % 5] as TestPage
    await tab.logIn('ada')
    await untilAll(tabs, 'ada')
    t.equal(await tab.page.evaluate(() => window.test.session.logout()), true)
    await untilAll(tabs, 'login: logged_out')
    // Nothing is left to be done: what a tab wrote last is what all tabs have.
    await delay(150)
    for (const { page } of tabs) {
      const record = JSON.parse(await page.evaluate((key) => localStorage[key], RECORD))
      t.match(record, { pending: false, full: false, token: '' })
    }
  }
})
