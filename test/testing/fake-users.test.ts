import t from 'tap'
import { fastifyJwtSession } from '../../lib/index.js'
import { createFakeUpstream } from '../../lib/testing/index.js'
import { SECRET } from '../fixtures/app.js'
import { PASSWORD } from '../fixtures/planted-secrets.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const context = () => ({ headers: {}, ip: '127.0.0.1', signal: new AbortController().signal })

t.test('the id of a user is the username, else the address, and the given users are not changed', async (t) => {
  const ada = Object.freeze({ username: 'ada', email: 'ada@example.com', password: PASSWORD })
  const bob = Object.freeze({ email: 'bob@example.com', password: PASSWORD })
  const upstream = createFakeUpstream({ users: Object.freeze([ada, bob]) })
  for (const [{ email }, id] of [
    [ada, 'ada'],
    [bob, 'bob@example.com']
  ] as const) {
    t.match(await upstream.login({ email, password: PASSWORD }, context()), { user: { id } })
  }
  const eve = { email: 'eve@example.com', password: PASSWORD }
  t.strictSame(await upstream.register(eve, context()), { user: { email: eve.email, id: eve.email } })
})

for (const [name, isHttp] of [
  ['in this process', false],
  ['over HTTP', true]
] as const) {
  t.test(`a registration that was abandoned ${name} registers no user when the upstream heals`, async (t) => {
    const upstream = createFakeUpstream({ timeoutMs: 1_000 })
    t.teardown(() => upstream.close())
    const url = isHttp ? await upstream.listen() : undefined
    const choice = url === undefined ? upstream : { baseUrl: url, timeoutMs: 1_000 }
    const app = createWatchedFastify(t)
    await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream: choice })
    const payload = { username: 'eve', password: PASSWORD }
    const post = async (path: string) =>
      (await app.inject({ method: 'POST', url: `/user/${path}`, payload })).statusCode
    upstream.hang()
    t.equal(await post('register'), 504)
    // After the answer to a later request the server knows that the connection of the first is closed.
    if (url !== undefined) t.equal((await fetch(url)).status, 404)
    upstream.heal()
    t.equal(await post('login'), 401)
    t.equal(await post('register'), 201)
  })
}

t.test('a user that is no JSON is no answer over HTTP', async (t) => {
  const upstream = createFakeUpstream({ users: [{ username: 'ada', password: PASSWORD, balance: 1n }] })
  t.teardown(() => upstream.close())
  const body = JSON.stringify({ username: 'ada', password: PASSWORD })
  await t.rejects(fetch(`${await upstream.listen()}/user/login`, { method: 'POST', body }))
})

t.test('the server cannot be reached at another address of the machine', async (t) => {
  const upstream = createFakeUpstream()
  t.teardown(() => upstream.close())
  const url = new URL(await upstream.listen())
  await t.rejects(fetch(`http://[::1]:${url.port}/`))
  t.equal((await fetch(url)).status, 404)
})
