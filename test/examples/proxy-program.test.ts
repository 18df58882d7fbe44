import t from 'tap'
import { COOKIE } from './proxy-scene.js'
import { startExample } from './start-example.js'
import { spellingsOf, startService } from './start-service.js'

t.test('examples/proxy.ts logs users in, and hands their requests on', async (t) => {
  const service = await startService(t)
  const url = await startExample(t, 'proxy', { ORDERS_URL: service.url })
  t.equal((await fetch(`${url}/orders/7`)).status, 401)
  const login = await fetch(`${url}/user/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: url },
    body: JSON.stringify({ username: 'ada', password: 'x' })
  })
  const [cookie = ''] = login.headers.getSetCookie()[0]?.split(';') ?? []
  t.match(cookie, COOKIE)
  t.strictSame(await (await fetch(`${url}/orders/7`, { headers: { cookie } })).json(), { ok: true })
  t.equal(service.requests[0]?.line, 'GET /7')
  t.strictSame(spellingsOf(service.requests[0]?.rawHeaders ?? [], 'session-user'), ['ada'])
  t.equal((await fetch(`${url}/user/logout`, { method: 'POST', headers: { cookie, origin: url } })).status, 204)
  t.equal((await fetch(`${url}/orders/7`, { headers: { cookie } })).status, 401)
})
