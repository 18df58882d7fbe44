import t from 'tap'
import { logIn } from '../fixtures/app.js'
import { runRecipe, sendWith } from '../fixtures/recipes.js'

t.test('the recipe for an app that is secure by default', async (t) => {
  const { app } = await runRecipe(t, 'Secure by default')
  const origin = 'https://app.example'

  await t.test('users can log in, also with an old token, and log out', async (t) => {
    const token = await logIn(app)
    const send = sendWith(app, token)
    t.strictSame((await send({ url: '/me' })).json(), { id: 'ada' })
    t.equal((await send({ method: 'POST', url: '/user/logout' })).statusCode, 204)
    await logIn(app, 'ada', { authorization: `Bearer ${token}` })
  })

  await t.test('strangers get only the exempt routes', async (t) => {
    for (const url of ['/me', '/nowhere', '/user/session']) t.equal((await app.inject(url)).statusCode, 401, url)
    t.equal((await app.inject('/health')).body, 'ok')
  })

  await t.test('preflights are answered', async (t) => {
    const headers = {
      origin,
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'authorization'
    }
    const preflight = await app.inject({ method: 'OPTIONS', url: '/me', headers })
    t.equal(preflight.statusCode, 204)
    t.equal(preflight.headers['access-control-allow-origin'], origin)
  })
})

t.test('a changed role applies to open sessions', async (t) => {
  const { app } = await runRecipe(t, 'Roles')
  const user = (role: string) => ({ id: 'ada', role })
  const { token } = await app.sessions.create(user('guest'))
  const send = sendWith(app, token)
  t.equal((await send({ url: '/admin' })).statusCode, 403)
  await app.sessions.updateUser('ada', user('admin'))
  t.equal((await send({ url: '/admin' })).statusCode, 200)
})

t.test('the OpenAPI document marks the routes that take a token', async (t) => {
  const { app } = await runRecipe(t, 'OpenAPI')
  const { paths, components } = app.swagger() as {
    paths: Record<string, Record<string, { security?: unknown }>>
    components: { securitySchemes: unknown }
  }
  t.strictSame(components.securitySchemes, { bearerAuth: { type: 'http', scheme: 'bearer' } })
  const security = [{ bearerAuth: [] }]
  t.strictSame(paths['/user/session']?.get?.security, security)
  t.strictSame(paths['/me']?.get?.security, security)
  t.equal(paths['/user/login']?.post?.security, undefined)
})
