import { setMaxListeners } from 'node:events'
import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'
import { createBrowserClient } from '../../lib/client/browser-client.js'
import type { SessionClient, SessionClientOptions, SessionSnapshot } from '../../lib/client/types.js'
import { FakeBrowser, type FakeWindow } from './fake-browser.js'
import { FakeServer } from './fake-server.js'

// A session has many calls.
setMaxListeners(0)

const START = Date.parse('2026-01-01T00:00:00.400Z')

/** A window with a client. */
export interface TestTab {
  window: FakeWindow
  client: SessionClient
  /** Each snapshot, in the order of the changes. */
  snapshots: SessionSnapshot[]
  /** What `onEnd` was called with. */
  ends: string[]
  status(): string
  reason(): string | null | undefined
  /** Ends the page, as a reload or a navigation does. */
  leave(): void
}

/** A server, a browser, and the clock of both. */
export interface Scene {
  server: FakeServer
  browser: FakeBrowser
  tab(options?: SessionClientOptions, window?: FakeWindow): TestTab
  /** A tab with a session of the user. */
  signedIn(options?: SessionClientOptions, id?: string): Promise<TestTab>
}

/** Until all that needs no time is done. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn()
}

/** Lets time pass, in steps that are short enough for all timers in turn. */
export async function pass(ms: number): Promise<void> {
  await settle()
  const step = Math.max(ms / 200, 10)
  for (let left = ms; left > 0; left -= step) {
    mock.timers.tick(Math.min(step, left))
    for (let i = 0; i < 6; i++) await turn()
  }
  await settle()
}

/** Scenes of the running test: one clock for all. */
let scenes = 0

/** Sets up a browser and a server; time stands still but for {@link pass}. */
export function createScene(t: Test, transport: 'bearer' | 'cookie' = 'bearer'): Scene {
  if (scenes++ === 0) mock.timers.enable({ apis: ['setTimeout', 'Date'], now: START })
  const server = new FakeServer()
  server.transport = transport
  const browser = new FakeBrowser(server)
  const tabs: TestTab[] = []
  t.teardown(async () => {
    for (const tab of tabs) tab.leave()
    await settle()
    if (--scenes === 0) mock.timers.reset()
  })

  function tab(options: SessionClientOptions = {}, window = browser.open()): TestTab {
    const client = createBrowserClient(window.page, { transport, ...options })
    const snapshots = [client.getSnapshot()]
    const ends: string[] = []
    client.subscribe(() => snapshots.push(client.getSnapshot()))
    client.onEnd((reason) => ends.push(reason))
    const reason = () => {
      const snapshot = client.getSnapshot()
      return snapshot.status === 'signed-out' ? snapshot.reason : undefined
    }
    const leave = () => {
      client.close()
      window.close()
    }
    const created = { window, client, snapshots, ends, status: () => client.getSnapshot().status, reason, leave }
    tabs.push(created)
    return created
  }

  async function signedIn(options: SessionClientOptions = {}, id = 'ada'): Promise<TestTab> {
    const created = tab(options)
    await settle()
    await created.client.login({ username: id, password: 'right' })
    await settle()
    return created
  }

  return { server, browser, tab, signedIn }
}
