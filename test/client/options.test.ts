import t from 'tap'
import { createBrowserClient } from '../../lib/client/browser-client.js'
import { resolveOptions } from '../../lib/client/options.js'
import type { SessionClientOptions } from '../../lib/client/types.js'
import { createScene, settle } from './scene.js'

t.test('a wrong option is a TypeError that names the option', async (t) => {
  const wrong: Record<string, unknown[]> = {
    baseUrl: [
      'api.example',
      'ftp://api.example',
      'https://api.example/',
      'https://api.example/v1',
      1,
      new URL('https://x')
    ],
    prefix: ['user', '/user/', '//user', '/user?a', '/user#a', 1],
    transport: ['Bearer', 'cookies', '', true],
    name: ['', 'a b', 'a:b', 1],
    keep: ['theme', {}, 1],
    clear: ['clear', {}, true],
    loginUrl: ['javascript:alert(1)', ' javascript:alert(1)', 'java\nscript:alert(1)', 'data:text/html,x', 1],
    events: ['true', 1],
    basUrl: ['https://api.example']
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const message = `The \`${name}\` option is not valid`
      t.throws(() => resolveOptions({ [name]: value }), { name: 'TypeError', message }, `${name}: ${value}`)
    }
  }
})

t.test('every documented form of an option is accepted', async (t) => {
  const right: SessionClientOptions[] = [
    { baseUrl: '' },
    { baseUrl: 'https://api.example' },
    { baseUrl: 'http://127.0.0.1:3000' },
    { prefix: '' },
    { prefix: '/api/user' },
    { transport: 'cookie' },
    { name: 'my_app-2' },
    { keep: ['theme'] },
    { clear: () => {} },
    { loginUrl: '/login' },
    { loginUrl: '/login?next=https://app.example/' },
    { loginUrl: 'https://login.example' },
    { events: false }
  ]
  for (const options of right) t.match(resolveOptions({ ...options }), options)
})

t.test('an option that is left out or undefined has its default', async (t) => {
  const defaults = { baseUrl: '', prefix: '/user', transport: 'bearer', name: 'session', keep: [], events: true }
  t.match(resolveOptions({}), defaults)
  t.match(resolveOptions({ prefix: undefined, keep: undefined, events: undefined }), defaults)
})

t.test('a client is not created with a wrong option', async (t) => {
  const { browser } = createScene(t)
  t.throws(() => createBrowserClient(browser.open().page, { name: 'a b' }), /`name`/)
})

t.test('requests go to the base URL and the prefix, and locks and record have the name', async (t) => {
  const { server, browser, tab } = createScene(t)
  const seen: string[] = []
  const { client, window } = tab({ baseUrl: 'https://api.example', prefix: '/api/session', name: 'shop' })
  window.fetch = async (url, init) => {
    seen.push(url)
    return server.fetch(browser, url.replace('/api/session', '/user'), init)
  }
  await client.login({ username: 'ada', password: 'right' })
  await settle()
  t.strictSame(seen, ['https://api.example/api/session/login', 'https://api.example/api/session/session/events'])
  t.strictSame([...browser.entries.keys()], ['fastify-jwt-session:shop'])
  t.equal(browser.locks.holderOf('fastify-jwt-session:shop:events'), window)
})
