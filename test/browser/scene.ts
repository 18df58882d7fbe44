import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import type { Browser, BrowserContext, Page } from 'puppeteer-core'
import type { Test } from 'tap'
import { type StartedRedis, startRedis } from '../fixtures/redis/start-redis.js'
import { until } from '../fixtures/until.js'
import { unwatched } from '../fixtures/unwatched.js'
import { type AppOptions, createApp } from './app.js'
import type { PageTest } from './page.js'

declare global {
  interface Window {
    test: PageTest
  }
}

/** Two servers over one Redis: the pages are of the first, in a process of its own; the test has the second. */
export interface Servers {
  url: string
  other: FastifyInstance
  redis: StartedRedis
  /** SIGKILL. */
  kill(): Promise<void>
  /** SIGTERM. @returns what the server has printed at its end */
  close(): Promise<string>
  start(): Promise<void>
}

export async function startServers(t: Test, options: Omit<AppOptions, 'redisUrl'> = {}): Promise<Servers> {
  const redis = await startRedis(t, { tcp: true })
  const appOptions = { ...options, redisUrl: redis.url ?? '' }
  const other = await createApp(appOptions)
  t.teardown(() => other.close())
  await other.ready()
  let child: ChildProcess | undefined
  let port = '0'
  let output = ''

  async function stop(signal: NodeJS.Signals): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }

  async function start(): Promise<void> {
    const args = ['--import', 'tsx', 'test/browser/serve.ts', JSON.stringify(appOptions), port]
    child = spawn(...unwatched(process.execPath, ...args), { stdio: ['ignore', 'pipe', 'inherit'] })
    output = ''
    child.stdout?.on('data', (chunk) => {
      output += chunk
    })
    await until(() => /:\d+\n/.test(output), 60)
    port = /:(\d+)\n/.exec(output)?.[1] ?? '0'
  }

  t.teardown(() => stop('SIGKILL'))
  await start()
  return {
    url: `http://127.0.0.1:${port}`,
    other,
    redis,
    start,
    kill: () => stop('SIGKILL'),
    async close() {
      await stop('SIGTERM')
      return output
    }
  }
}

/** A page of the tests. */
export interface TestPage {
  page: Page
  /** What the page shows: the id of the user, `loading`, or `login: <reason>`. */
  text(): Promise<string>
  shown(): Promise<{ text: string; at: number }[]>
  ends(): Promise<string[]>
  stored(): Promise<string[]>
  logIn(username: string): Promise<void>
  isHidden(): Promise<boolean>
}

/** Opens a page of the first server. @param options of the client */
export async function openPage(context: BrowserContext, url: string, options?: object): Promise<TestPage> {
  const page = await context.newPage()
  await page.goto(pageUrl(url, options))
  return withPage(page)
}

export function pageUrl(url: string, options?: object): string {
  return options === undefined ? url : `${url}/?${encodeURIComponent(JSON.stringify(options))}`
}

export async function withPage(page: Page): Promise<TestPage> {
  await page.waitForFunction(() => window.test !== undefined)
  return {
    page,
    text: () => page.evaluate(() => window.test.shown.at(-1)?.text ?? ''),
    shown: () => page.evaluate(() => window.test.shown),
    ends: () => page.evaluate(() => window.test.ends),
    stored: () => page.evaluate(() => window.test.stored()),
    logIn: (username) =>
      page.evaluate(async (username) => {
        await window.test.session.login({ username, password: 'x' })
      }, username),
    isHidden: () => page.evaluate(() => document.hidden)
  }
}

/** Five tabs of one browser with a session of `ada` and full stores; all but the last are hidden. */
export async function fiveTabs(t: Test, browser: Browser, url: string, options?: object): Promise<TestPage[]> {
  const context = await browser.createBrowserContext()
  t.teardown(() => context.close())
  const pages: TestPage[] = []
  for (let i = 0; i < 5; i++) pages.push(await openPage(context, url, options))
  await pages[0]?.logIn('ada')
  await untilAll(pages, 'ada')
  for (const { page } of pages) await page.evaluate(() => window.test.fill())
  return pages
}

/** Waits until all pages show the text. */
export async function untilAll(pages: TestPage[], expected: string, seconds = 20): Promise<void> {
  await until(
    async () => (await Promise.all(pages.map(({ text }) => text()))).every((text) => text === expected),
    seconds
  )
}

/**
 * Checks that every tab is empty and shows the login with the reason.
 *
 * @returns milliseconds from the cause to the last of the tabs
 */
export async function assertEnded(
  t: Test,
  pages: TestPage[],
  { since, reason }: { since: number; reason: string }
): Promise<number> {
  await untilAll(pages, `login: ${reason}`)
  await until(async () =>
    (await Promise.all(pages.map(({ stored }) => stored()))).every((names) => `${names}` === 'theme')
  )
  const empty = Date.now() - since
  for (const { ends } of pages) t.strictSame(await ends(), [reason])
  const times = await Promise.all(pages.map(async ({ shown }) => ((await shown()).at(-1)?.at ?? 0) - since))
  t.comment(`${t.name}: shown after ${Math.min(...times)}–${Math.max(...times)} ms, empty after at most ${empty} ms`)
  return Math.max(...times)
}
