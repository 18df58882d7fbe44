import fastifyRateLimit from '@fastify/rate-limit'
import t from 'tap'
import { testGateway } from './contract.js'
import { startScene } from './scene.js'

testGateway('nginx')

t.test('nginx: each refusal keeps its status when the first of two authenticators is down', async (t) => {
  const scene = await startScene(t, 'nginx', {
    // Without a limit of failures nginx would try this server once in ten seconds.
    changes: { 'server 127.0.0.1:3000;': 'server 127.0.0.1:1 max_fails=0; server 127.0.0.1:3000;' },
    before: (app) => app.register(fastifyRateLimit, { global: false }),
    options: { cookie: {}, routes: { verify: { config: { rateLimit: { max: 6, timeWindow: 60_000 } } } } }
  })
  const { token } = await scene.open()
  const cases: [status: number, method: string, headers: Record<string, string>][] = [
    [401, 'GET', { authorization: 'Bearer garbage' }],
    [403, 'POST', { cookie: `__Host-Http-session=${token}`, 'sec-fetch-site': 'cross-site' }],
    [200, 'GET', { authorization: `Bearer ${token}` }],
    [429, 'GET', { authorization: `Bearer ${token}` }]
  ]
  for (const [status, method, headers] of cases) {
    // nginx begins with each server in turn: at least one of two questions has two answers.
    for (let i = 0; i < 2; i++) t.equal((await scene.visit('/', { method, headers })).status, status)
  }
  t.match(scene.gateway.output(), /connect\(\) failed.*127\.0\.0\.1:1\b/, 'the first server was tried')
})

t.test('nginx: the configuration asks for the settings of a route', async (t) => {
  const location = 'proxy_pass http://authenticator/user/verify'
  const { visit, open, authenticator } = await startScene(t, 'nginx', {
    changes: { [location]: `${location}?fresh_seconds=1&slide=false` }
  })
  const { token, session } = await open()
  t.equal((await visit('/', { token })).status, 200)
  while (Date.now() - session.createdAt <= 1_000) await new Promise((resolve) => setTimeout(resolve, 50))
  const stale = await visit('/', { token })
  t.equal(stale.status, 401)
  t.match(stale.headers.get('www-authenticate'), 'max_age="1"')
  t.equal(stale.headers.get('session-ended'), null)
  t.ok(await authenticator.sessions.find(session.id), 'the session goes on')

  const optional = await startScene(t, 'nginx', { changes: { [location]: `${location}?optional=true` } })
  t.equal((await optional.visit('/', { headers: { 'session-user': 'root', 'session-token': 'forged' } })).status, 200)
  t.notOk(optional.served[0]?.headers['session-user'])
  t.notOk(optional.served[0]?.headers['session-token'])
})

t.test('nginx: a wrong query in the configuration lets no request through', async (t) => {
  const location = 'proxy_pass http://authenticator/user/verify'
  const changes = { [location]: `${location}?freshSeconds=300` }
  const { visit, open, served } = await startScene(t, 'nginx', { changes })
  const { token } = await open()
  const answer = await visit('/', { token })
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('session-ended'), null)
  t.strictSame(served, [])
})

t.test('nginx: a configuration that announces the body of the client confuses no other request', async (t) => {
  const { visit, open, served } = await startScene(t, 'nginx', {
    changes: {
      'proxy_set_header Content-Length "";': '',
      'keepalive 16; }\n  upstream service': 'keepalive 1; }\n  upstream service'
    }
  })
  const { token } = await open()
  for (let round = 1; round <= 5; round++) {
    t.equal((await visit('/', { token, method: 'POST', body: 'x'.repeat(100) })).status, 200)
    t.equal((await visit('/', { token })).status, 200)
  }
  t.equal(served.length, 10)
})
