import type { Page } from '../../lib/client/types.js'
import { FakeLocks } from './fake-locks.js'
import type { FakeServer } from './fake-server.js'

/** A browser with one origin: what its windows share. */
export class FakeBrowser {
  readonly entries = new Map<string, string>()
  readonly databases = new Set<string>()
  readonly caches = new Set<string>()
  readonly locks = new FakeLocks()
  readonly windows = new Set<FakeWindow>()
  readonly server: FakeServer
  /** The value of the session's cookie. */
  cookie: string | undefined
  isOffline = false

  constructor(server: FakeServer) {
    this.server = server
  }

  /** Opens a window, visible unless `isHidden`. */
  open(isHidden = false): FakeWindow {
    const window = new FakeWindow(this, isHidden)
    this.windows.add(window)
    return window
  }

  goOffline(): void {
    this.isOffline = true
    this.server.cut(this)
  }

  goOnline(): void {
    this.isOffline = false
    for (const window of this.windows) window.dispatch('online')
  }
}

/** `localStorage` or `sessionStorage`: own keys are the keys of the entries. */
function createStorage(entries: Map<string, string>, onChange: (key: string | null) => void): Storage {
  const storage = {
    getItem: (key: string) => entries.get(key) ?? null,
    setItem(key: string, value: string) {
      if (entries.get(key) === value) return
      entries.set(key, value)
      onChange(key)
    },
    removeItem(key: string) {
      if (entries.delete(key)) onChange(key)
    },
    clear() {
      if (entries.size === 0) return
      entries.clear()
      onChange(null)
    }
  }
  return new Proxy(storage as unknown as Storage, {
    ownKeys: () => [...entries.keys()],
    getOwnPropertyDescriptor: (_, key) =>
      entries.has(String(key)) ? { value: entries.get(String(key)), enumerable: true, configurable: true } : undefined
  })
}

/** As much of a window as the client uses. */
export class FakeWindow extends EventTarget {
  readonly browser: FakeBrowser
  readonly entries = new Map<string, string>()
  localStorage: Storage
  sessionStorage: Storage
  readonly document: { hidden: boolean }
  navigator: { locks?: LockManager }
  readonly location: { origin: string; replace(url: string): void }
  indexedDB: unknown
  caches: unknown
  /** Where the page went. */
  readonly visited: string[] = []
  awake = Promise.resolve()
  #wake: (() => void) | undefined
  readonly #missed: Event[] = []

  constructor(browser: FakeBrowser, isHidden: boolean) {
    super()
    this.browser = browser
    this.document = { hidden: isHidden }
    this.location = { origin: 'https://app.example', replace: (url) => void this.visited.push(url) }
    this.navigator = { locks: browser.locks.of(this) }
    this.localStorage = createStorage(browser.entries, (key) => this.#tellOthers(key))
    this.sessionStorage = createStorage(this.entries, () => {})
    this.indexedDB = {
      databases: async () => [...browser.databases].map((name) => ({ name })),
      deleteDatabase: (name: string) => void browser.databases.delete(name)
    }
    this.caches = {
      keys: async () => [...browser.caches],
      delete: async (name: string) => browser.caches.delete(name)
    }
  }

  /** The window as the client gets it. */
  get page(): Page {
    return this as unknown as Page
  }

  fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const answer = await this.browser.server.fetch(this.browser, url, init)
    await this.awake
    return answer
  }

  /** Fires an event, now or when the window is no longer frozen. */
  dispatch(type: string, details: object = {}): void {
    const event = Object.assign(new Event(type), details)
    if (this.#wake) this.#missed.push(event)
    else this.dispatchEvent(event)
  }

  show(): void {
    this.document.hidden = false
    this.dispatch('visibilitychange')
  }

  hide(): void {
    this.document.hidden = true
    this.dispatch('visibilitychange')
  }

  /** The window gets no events, no locks and no answers until {@link resume}. */
  freeze(): void {
    this.awake = new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  resume(): void {
    this.#wake?.()
    this.#wake = undefined
    for (const event of this.#missed.splice(0)) this.dispatchEvent(event)
  }

  /** Closes the window: no events, no locks. */
  close(): void {
    this.freeze()
    this.browser.windows.delete(this)
    this.browser.locks.release(this)
  }

  #tellOthers(key: string | null): void {
    for (const window of this.browser.windows) {
      if (window !== this) setImmediate(() => window.dispatch('storage', { key }))
    }
  }
}
