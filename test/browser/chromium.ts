import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import puppeteer, { type Browser } from 'puppeteer-core'
import type { Teardown } from '../fixtures/redis/start-redis.js'

const run = promisify(execFile)

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

/** Flags of puppeteer that make a hidden page run like a visible page: the browser of a user throttles hidden pages. */
const UNLIKE_USERS = [
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding'
]

let program: Promise<string> | undefined

/**
 * Starts Chromium, headless and with an empty profile, and ends it at teardown. The page that was opened last, or brought
 * to the front, is visible; all other pages of the browser are hidden.
 *
 * @throws Error of one sentence that names the command to run, when there is no browser
 */
export async function launch(t: Teardown): Promise<Browser> {
  program ??= findChromium()
  const browser = await puppeteer.launch({
    executablePath: await program,
    args: FLAGS,
    ignoreDefaultArgs: UNLIKE_USERS,
    defaultViewport: null,
    timeout: 120_000,
    protocolTimeout: 120_000
  })
  t.teardown(() => browser.close())
  return browser
}

/** The program that `CHROMIUM` names, else a browser on the PATH, else the package of Debian, installed as root. */
async function findChromium(): Promise<string> {
  const { CHROMIUM } = process.env
  if (CHROMIUM) {
    if (await isBrowser(CHROMIUM)) return CHROMIUM
    throw new Error('CHROMIUM does not run: set it to the path of a Chromium or Chrome')
  }
  return (await findOnPath()) ?? (await install())
}

async function findOnPath(): Promise<string | null> {
  for (const name of NAMES) {
    const { stdout } = await run('which', [name]).catch(() => ({ stdout: '' }))
    const path = stdout.trim()
    if (path && (await isBrowser(path))) return path
  }
  return null
}

async function isBrowser(path: string): Promise<boolean> {
  const { stdout } = await run(path, ['--version'], { timeout: 60_000 }).catch(() => ({ stdout: '' }))
  return /^(Chromium|Google Chrome) /m.test(stdout)
}

async function install(): Promise<string> {
  let cause: unknown
  if (process.getuid?.() === 0) {
    const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, maxBuffer: 2 ** 26 }
    try {
      await run('apt-get', ['update'], options)
      await run('apt-get', ['install', '-y', '--no-install-recommends', 'chromium'], options)
    } catch (error) {
      cause = error
    }
  }
  const path = await findOnPath()
  if (path) return path
  throw new Error(
    'The browser tests need Chromium: run `apt-get install -y --no-install-recommends chromium` as root, or set CHROMIUM to a Chromium or Chrome',
    { cause }
  )
}
