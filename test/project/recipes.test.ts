import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { WebSocket } from 'undici'
import { logIn } from '../fixtures/app.js'
import { recipes, runRecipe, sendWith } from '../fixtures/recipes.js'

t.test('every recipe of examples/README.md has a test', async (t) => {
  const folders = ['test/project', 'test/long']
  const files = await Promise.all(
    folders.map(async (folder) => (await readdir(folder)).map((name) => `${folder}/${name}`))
  )
  const names = files.flat().filter((name) => /\/recipes.*\.test\.ts$/.test(name))
  const texts = await Promise.all(names.map((name) => readFile(name, 'utf8')))
  const untested = recipes.filter(({ heading }) => !texts.some((text) => text.includes(`'${heading}'`)))
  t.strictSame(untested, [])
  t.ok(recipes.length > 0)
})

t.test("a guarded scope lets in users, and answers a stranger's bad request 401", async (t) => {
  const { app } = await runRecipe(t, 'Guarding a scope')
  const send = sendWith(app, await logIn(app))
  t.strictSame((await send({ url: '/orders' })).json(), { ordersOf: 'ada' })
  t.equal((await app.inject('/orders')).json().code, 'FST_JWT_SESSION_MISSING')
  const badOrder = { method: 'POST', url: '/orders', payload: { nothing: 1 } } as const
  t.equal((await app.inject(badOrder)).statusCode, 401)
  t.equal((await send(badOrder)).statusCode, 400)
})

t.test('a role of the session opens a route, and another role does not', async (t) => {
  const { app } = await runRecipe(t, 'Roles')
  const openAs = async (role: string) => (await app.sessions.create({ id: 'ada', role } as never)).token
  t.equal((await sendWith(app, await openAs('admin'))({ url: '/admin' })).body, 'admins only')
  t.equal((await sendWith(app, await openAs('guest'))({ url: '/admin' })).statusCode, 403)
  t.equal((await app.inject('/admin')).statusCode, 401)
})

t.test('the recipe for a WebSocket', async (t) => {
  const { app } = await runRecipe(t, 'WebSocket')
  const token = await logIn(app)
  const url = `${await app.listen({ host: '127.0.0.1', port: 0 })}/chat`.replace('http', 'ws')
  // A client keeps the connection of a refused upgrade open, and close() would wait.
  t.teardown(() => app.server.closeAllConnections())

  /** Opens a socket; `next` waits for the next event of a name. */
  function open(t: Test, options: ConstructorParameters<typeof WebSocket>[1]) {
    const socket = new WebSocket(url, options)
    t.teardown(() => socket.close())
    const next = async (name: string) => (await once(socket, name))[0]
    return { socket, next }
  }

  await t.test('a socket opens for a token in the subprotocol, as pages send tokens', async (t) => {
    const { socket, next } = open(t, ['bearer', token])
    await next('open')
    t.equal(socket.protocol, 'bearer', 'the token is not repeated')
    const message = next('message')
    socket.send('hello')
    t.equal((await message).data, 'ada: hello')
  })

  await t.test('a socket opens for a token in the header, as programs send tokens', async (t) => {
    await open(t, { headers: { authorization: `Bearer ${token}` } }).next('open')
  })

  await t.test('no socket opens for a stranger or another subprotocol', async (t) => {
    for (const protocols of [[], ['bearer'], ['bearer', 'x'], ['chat', token]]) await open(t, protocols).next('error')
  })

  await t.test('a silent socket closes when the session ends', async (t) => {
    const { next } = open(t, ['bearer', token])
    await next('open')
    const closed = next('close')
    await app.sessions.revokeAll('ada')
    t.equal((await closed).code, 4401)
  })
})

t.test('an app with zod schemas has the routes of the plugin, and one document for both', async (t) => {
  const { app } = await runRecipe(t, 'Zod schemas in the same app')
  const send = sendWith(app, await logIn(app))
  t.strictSame((await send({ method: 'POST', url: '/orders', payload: { item: 'tea' } })).json(), { item: 'tea' })
  t.equal((await send({ method: 'POST', url: '/orders', payload: { item: '' } })).statusCode, 400)
  t.equal((await app.inject({ method: 'POST', url: '/user/login', payload: {} })).statusCode, 400)
  t.equal((await app.inject({ method: 'POST', url: '/orders', payload: { item: 'tea' } })).statusCode, 401)

  const { paths } = app.swagger() as { paths: Record<string, { post: { requestBody: unknown } }> }
  t.match(JSON.stringify(paths['/orders']?.post.requestBody), '"minLength":1')
  t.match(JSON.stringify(paths['/user/login']?.post.requestBody), '"password":{"')
})
