import t from 'tap'
import { testGateway } from './contract.js'
import { startScene } from './scene.js'

testGateway('caddy')

t.test('caddy: the configuration asks for the settings of a route', async (t) => {
  const changes = { 'uri /user/verify?': 'uri /user/verify?optional=true' }
  const { visit, open, served } = await startScene(t, 'caddy', { changes })
  t.equal((await visit('/?x=1', { headers: { 'session-user': 'root', 'session-token': 'forged' } })).status, 200)
  t.equal(served[0]?.headers['session-user'], undefined)
  t.equal(served[0]?.headers['session-token'], undefined)
  t.equal((await visit('/', { token: 'garbage' })).status, 401)
  const { token } = await open()
  t.equal((await visit('/', { token })).status, 200)
  t.equal(served[1]?.headers['session-user'], 'ada')
})

t.test('caddy: a configuration that appends the query of the client lets no client choose its settings', async (t) => {
  const { visit, served } = await startScene(t, 'caddy', { changes: { 'uri /user/verify?': 'uri /user/verify' } })
  for (const query of ['optional=true', 'optional=true&slide=false', '%6fptional=true']) {
    t.equal((await visit(`/?${query}`)).status, 400, query)
  }
  t.strictSame(served, [])
})
