// The page of the tests: a client of the session, and stores to fill. `?` has the options as JSON.
import { createSessionClient } from '../../lib/client/index.js'

const options = location.search === '' ? {} : JSON.parse(decodeURIComponent(location.search.slice(1)))
const session = createSessionClient({ keep: ['theme'], ...options })

/** Each state that the page has shown, with the time. */
const shown: { text: string; at: number }[] = []
const ends: string[] = []

function render(): void {
  const snapshot = session.getSnapshot()
  const text =
    snapshot.status === 'signed-in'
      ? snapshot.user.id
      : snapshot.status === 'loading'
        ? 'loading'
        : `login: ${snapshot.reason}`
  if (shown.at(-1)?.text !== text) shown.push({ text, at: Date.now() })
  const main = document.querySelector('main')
  if (main) main.textContent = text
}

session.subscribe(render)
session.onEnd((reason) => ends.push(reason))
render()

async function fill(): Promise<void> {
  localStorage.setItem('draft', 'x')
  localStorage.setItem('theme', 'dark')
  sessionStorage.setItem('filter', 'y')
  const opened = indexedDB.open('mail')
  await new Promise((resolve) => {
    opened.onsuccess = resolve
  })
  // As an application must: else the browser waits with the deletion.
  opened.result.onversionchange = () => opened.result.close()
  const cache = await caches.open('api')
  await cache.put('/orders', new Response('[]'))
}

/** The names of all that is stored, but for the records of clients. */
async function stored(): Promise<string[]> {
  const keys = [...Object.keys(localStorage), ...Object.keys(sessionStorage)]
  const databases = (await indexedDB.databases()).map(({ name = '' }) => name)
  const all = [...keys, ...databases, ...(await caches.keys())]
  return all.filter((key) => !key.startsWith('fastify-jwt-session:')).toSorted()
}

const test = { session, shown, ends, fill, stored }
Object.assign(window, { test })

/** What the tests find in the window. */
export type PageTest = typeof test
