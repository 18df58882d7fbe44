import { setTimeout as delay } from 'node:timers/promises'
import type { Browser } from 'puppeteer-core'
import t, { type Test } from 'tap'
import { until } from '../fixtures/until.js'
import { launch } from './chromium.js'
import { startNetwork } from './network.js'
import { assertEnded, fiveTabs, openPage, type Servers, startServers, type TestPage, untilAll } from './scene.js'

/** The promise of the manual: from the cause to the login in every tab. */
const LIMIT_MS = 1_000

t.setTimeout(600_000)
const browser: Browser = await launch(t)

interface Scenario {
  tabs: TestPage[]
  servers: Servers
  t: Test
}

/** What ends the session. @returns the time of the cause, and the reason */
type Cause = (scenario: Scenario) => Promise<{ since: number; reason: string; tabs?: TestPage[] }>

const expiry = async ({ servers }: Scenario) => (await servers.other.sessions.list('ada'))[0]

async function revoke({ servers }: Scenario) {
  const since = Date.now()
  await servers.other.sessions.revokeAll('ada')
  return { since, reason: 'revoked' }
}

const CAUSES: Record<string, Cause> = {
  'revoked in the other process': revoke,

  'logout in one tab': async ({ tabs }) => {
    const since = Date.now()
    await tabs[2]?.page.evaluate(() => window.test.session.logout())
    return { since, reason: 'logged_out' }
  },

  'evicted by a newer login': async ({ servers, t }) => {
    const context = await browser.createBrowserContext()
    t.teardown(() => context.close())
    const page = await openPage(context, servers.url)
    const since = Date.now()
    await page.logIn('ada')
    return { since, reason: 'replaced' }
  },

  'DEL of an operator': async ({ servers }) => {
    const redis = servers.redis.client()
    const keys = await redis.keys('*')
    const since = Date.now()
    await redis.del(...keys)
    return { since, reason: 'unknown' }
  },

  'the reader closes, then a revocation': async (scenario) => {
    await scenario.tabs[4]?.page.close()
    return { ...(await revoke(scenario)), tabs: scenario.tabs.slice(0, 4) }
  },

  'the reader crashes, then a revocation': async (scenario) => {
    const session = await scenario.tabs[4]?.page.createCDPSession()
    void session?.send('Page.crash').catch(() => {})
    return { ...(await revoke(scenario)), tabs: scenario.tabs.slice(0, 4) }
  },

  'a frozen tab resumes': async (scenario) => {
    const frozen = scenario.tabs[0] as TestPage
    const session = await frozen.page.createCDPSession()
    await session.send('Page.setWebLifecycleState', { state: 'frozen' })
    await revoke(scenario)
    await untilAll(scenario.tabs.slice(1), 'login: revoked')
    const since = Date.now()
    await session.send('Page.setWebLifecycleState', { state: 'active' })
    return { since, reason: 'revoked', tabs: [frozen] }
  },

  'the server restarts, and the session has ended meanwhile': async (scenario) => {
    const { other, kill, url } = scenario.servers
    const since = Date.now()
    await kill()
    await revoke(scenario)
    // A process that is started takes seconds on a busy machine: another one has the address at once.
    await other.listen({ host: '127.0.0.1', port: Number(new URL(url).port) })
    return { since, reason: 'revoked' }
  }
}

t.test('a session that ends', async (t) => {
  const servers = await startServers(t, { session: { maxPerUser: 1 } })
  for (const [name, cause] of Object.entries(CAUSES)) {
    await t.test(name, async (t) => {
      const all = await fiveTabs(t, browser, servers.url)
      t.strictSame(await Promise.all(all.map(({ isHidden }) => isHidden())), [true, true, true, true, false])
      const { tabs = all, ...end } = await cause({ tabs: all, servers, t })
      t.ok((await assertEnded(t, tabs, end)) <= LIMIT_MS)
    })
  }
})

t.test('the network is away, and back after a revocation', async (t) => {
  const servers = await startServers(t)
  const network = await startNetwork(t, servers.url)
  const tabs = await fiveTabs(t, browser, network.url)
  const setOffline = (isOffline: boolean) => Promise.all(tabs.map(({ page }) => page.setOfflineMode(isOffline)))
  network.cut()
  await setOffline(true)
  await servers.other.sessions.revokeAll('ada')
  await delay(3_000)
  for (const { text } of tabs) t.equal(await text(), 'ada')
  network.restore()
  const since = Date.now()
  await setOffline(false)
  t.ok((await assertEnded(t, tabs, { since, reason: 'revoked' })) <= LIMIT_MS)
})

t.test('idle expiry while nothing is done', async (t) => {
  const servers = await startServers(t, { session: { idleTimeoutSeconds: 6 } })
  const tabs = await fiveTabs(t, browser, servers.url)
  const session = await expiry({ tabs, servers, t })
  const since = Number(session?.lastSeenAt) + 6_000
  t.ok((await assertEnded(t, tabs, { since, reason: 'expired' })) <= LIMIT_MS)
})

t.test('absolute expiry', async (t) => {
  const servers = await startServers(t, { session: { ttlSeconds: 6, idleTimeoutSeconds: false } })
  const tabs = await fiveTabs(t, browser, servers.url)
  const since = Number((await expiry({ tabs, servers, t }))?.expiresAt)
  t.ok((await assertEnded(t, tabs, { since, reason: 'expired' })) <= LIMIT_MS)
})

t.test(
  'without event streams a session ends in the tab that is looked at, and in the others with that tab',
  async (t) => {
    const servers = await startServers(t, { events: false })
    const tabs = await fiveTabs(t, browser, servers.url, { events: false })
    await servers.other.sessions.revokeAll('ada')
    const since = Date.now()
    await tabs[1]?.page.bringToFront()
    t.ok((await assertEnded(t, tabs, { since, reason: 'revoked' })) <= LIMIT_MS)
  }
)

t.test('a page comes back out of the back/forward cache', async (t) => {
  const servers = await startServers(t)
  const context = await browser.createBrowserContext()
  t.teardown(() => context.close())
  const tab = await openPage(context, servers.url)
  await tab.logIn('ada')
  await tab.page.evaluate(() => window.test.fill())
  await tab.page.goto(`${servers.url}/elsewhere`)
  await servers.other.sessions.revokeAll('ada')
  const since = Date.now()
  await tab.page.goBack()
  t.equal((await tab.shown())[0]?.text, 'login: null', 'the page is the same as before')
  t.ok((await assertEnded(t, [tab], { since, reason: 'revoked' })) <= LIMIT_MS)
})

t.test('app.close() does not wait for the streams of a browser', async (t) => {
  const servers = await startServers(t)
  await fiveTabs(t, browser, servers.url)
  const output = await servers.close()
  const [, ms] = /closed in (\d+) ms/.exec(output) ?? []
  t.comment(`closed in ${ms} ms`)
  t.ok(Number(ms) <= LIMIT_MS)
})

t.test('a login as another user in one tab never shows the data of the last user in the others', async (t) => {
  const servers = await startServers(t)
  const tabs = await fiveTabs(t, browser, servers.url)
  await tabs[3]?.logIn('bob')
  await untilAll(tabs, 'bob')
  await until(async () =>
    (await Promise.all(tabs.map(({ stored }) => stored()))).every((names) => `${names}` === 'theme')
  )
  for (const { shown } of tabs) {
    const texts = (await shown()).map(({ text }) => text)
    t.equal(texts.lastIndexOf('ada') < texts.indexOf('bob'), true)
  }
})
