import type { BrowserContext, Page } from 'puppeteer-core'
import type { Test } from 'tap'

/** Opens pages of one browser with a profile of its own. The page that was opened last is visible, the others are hidden. */
export async function openPages(t: Test, context: BrowserContext, url: string, count: number): Promise<Page[]> {
  const pages: Page[] = []
  while (pages.length < count) {
    const page = await context.newPage()
    page.on('pageerror', (error) => t.fail(`an error in a page: ${error}`))
    await page.evaluateOnNewDocument(recordShown)
    await page.goto(url)
    await page.bringToFront()
    pages.push(page)
  }
  return pages
}

/** What a page has shown, in its variable `shown`: all texts and the notes, after each change of the document. */
function recordShown(): void {
  const shown: string[] = []
  Object.assign(globalThis, { shown })
  new MutationObserver(() => {
    shown.push(`${document.body?.textContent} ${document.querySelector('textarea')?.value}`)
  }).observe(document, { subtree: true, childList: true, characterData: true })
}

/** Forgets what the page has shown so far. */
export function forgetShown(page: Page): Promise<unknown> {
  return page.evaluate('shown.length = 0')
}

/** What the page has shown since. */
export function shownBy(page: Page): Promise<string> {
  return page.evaluate('shown.join()') as Promise<string>
}

/** Waits until all pages show a text. */
export async function showAll(pages: Page[], text: string): Promise<void> {
  const isShown = (text: string) => !!document.body?.textContent?.includes(text)
  // Hidden pages have no animation frames.
  await Promise.all(pages.map((page) => page.waitForFunction(isShown, { polling: 'mutation' }, text)))
}

/** Clicks a button of a visible page. */
export async function press(page: Page, button: string): Promise<void> {
  await page.click(`button ::-p-text(${button})`)
}

/** Logs in on a visible page that shows the login. */
export async function logIn(page: Page, username: string, password: string): Promise<void> {
  await page.waitForSelector('[name=username]')
  await page.type('[name=username]', username)
  await page.type('[name=password]', password)
  await press(page, 'Log in')
}
