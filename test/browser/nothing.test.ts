import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { until } from '../fixtures/until.js'
import { launch } from './chromium.js'
import { startNetwork } from './network.js'
import { assertEnded, fiveTabs, openPage, type Servers, startServers, type TestPage, untilAll } from './scene.js'

t.setTimeout(600_000)
const browser = await launch(t)

/** What must not end the session, in the tabs of the session. */
type Event = (tabs: TestPage[], servers: Servers) => Promise<void>

const look = async (tabs: TestPage[]) => {
  for (const { page } of tabs) await page.bringToFront()
}

const EVENTS: Record<string, Event> = {
  'another 401 of the app, a 500 and a 503': async (tabs) => {
    for (const { page } of tabs) {
      const statuses = await page.evaluate(async () => {
        const answers = await Promise.all(
          [401, 500, 503].map((status) => window.test.session.fetch(`/status/${status}`))
        )
        return answers.map(({ status }) => status)
      })
      t.strictSame(statuses, [401, 500, 503])
    }
  },

  'Redis does not respond for 10 s': async (tabs, { redis }) => {
    redis.stall()
    await delay(5_000)
    await look(tabs)
    await delay(5_000)
    redis.resume()
    await delay(1_000)
  },

  'the server is away for 10 s': async (tabs, servers) => {
    await servers.kill()
    await delay(5_000)
    await look(tabs)
    await delay(5_000)
    await servers.start()
    await look(tabs)
    await delay(1_000)
  },

  'a late 401 of an older session': async (tabs) => {
    const [first, second] = tabs
    const token = await first?.page.evaluate(() => JSON.parse(localStorage['fastify-jwt-session:session']).token)
    // A call of the client, and a call that the client cannot abort, such as one of a service worker.
    const late = second?.page.evaluate(async (token) => {
      const headers = { authorization: `Bearer ${token}`, 'session-client': '1' }
      const calls = [window.test.session.fetch('/late'), fetch('/late', { headers })]
      return (await Promise.allSettled(calls)).map((call) =>
        call.status === 'fulfilled' ? call.value.status : call.reason.name
      )
    }, token)
    await delay(300)
    await first?.logIn('ada')
    t.strictSame(await late, [401, 401])
    await delay(500)
  }
}

async function assertKept(t: Test, tabs: TestPage[]): Promise<void> {
  for (const { text, ends, stored } of tabs) {
    t.equal(await text(), 'ada')
    t.strictSame(await ends(), [])
    t.strictSame(await stored(), ['api', 'draft', 'filter', 'mail', 'theme'])
  }
}

t.test('nothing ends, and nothing is emptied, by', async (t) => {
  const servers = await startServers(t)
  for (const [name, event] of Object.entries(EVENTS)) {
    await t.test(name, async (t) => {
      const tabs = await fiveTabs(t, browser, servers.url)
      await event(tabs, servers)
      await assertKept(t, tabs)
      const since = Date.now()
      await servers.other.sessions.revokeAll('ada')
      await assertEnded(t, tabs, { since, reason: 'revoked' })
    })
  }
})

t.test('a network that is away for 5 s ends nothing', async (t) => {
  const servers = await startServers(t)
  const network = await startNetwork(t, servers.url)
  const tabs = await fiveTabs(t, browser, network.url)
  network.cut()
  await Promise.all(tabs.map(({ page }) => page.setOfflineMode(true)))
  await delay(5_000)
  network.restore()
  await Promise.all(tabs.map(({ page }) => page.setOfflineMode(false)))
  await delay(1_000)
  await assertKept(t, tabs)
})

t.test('two apps on one origin with different names', async (t) => {
  const servers = await startServers(t)
  const context = await browser.createBrowserContext()
  t.teardown(() => context.close())
  const [shop, admin] = [
    await openPage(context, servers.url, { name: 'shop' }),
    await openPage(context, servers.url, { name: 'admin' })
  ]
  await shop.logIn('ada')
  await admin.logIn('bob')
  await servers.other.sessions.revokeAll('ada')
  await untilAll([shop], 'login: revoked')
  await delay(1_000)
  t.equal(await admin.text(), 'bob')
  t.strictSame(await admin.ends(), [])
  await admin.page.reload()
  t.equal(await admin.text(), 'bob')
})

for (const transport of ['bearer', 'cookie'] as const) {
  t.test(`${transport}: a logout while offline stays a logout over a reload`, async (t) => {
    const servers = await startServers(t, { cookie: transport === 'cookie' })
    const [tab] = (await fiveTabs(t, browser, servers.url, { transport })).slice(-1)
    if (tab === undefined) return
    await servers.kill()
    t.equal(await tab.page.evaluate(() => window.test.session.logout()), false)
    await servers.start()
    t.equal((await servers.other.sessions.list('ada')).length, 1)
    await tab.page.reload()
    await tab.page.waitForFunction(() => window.test !== undefined)
    t.strictSame(
      (await tab.shown()).map(({ text }) => text),
      ['login: logged_out']
    )
    await until(async () => (await servers.other.sessions.list('ada')).length === 0)
    await tab.logIn('bob')
    await untilAll([tab], 'bob')
    t.strictSame(await tab.ends(), [])
  })
}
