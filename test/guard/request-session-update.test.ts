import type { FastifyInstance, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import type { JwtSessionOptions } from '../../lib/index.js'
import { logout, withToken } from '../fixtures/app.js'
import { createHost } from '../fixtures/host.js'
import { STORES } from '../fixtures/stores.js'

/** An app with a guarded `GET /run`, which returns the result of `run`, and `GET /me`, which returns the session. */
async function createRunner(
  t: Test,
  options: Partial<JwtSessionOptions>,
  run: (request: FastifyRequest, app: FastifyInstance) => unknown
): Promise<FastifyInstance> {
  const { app } = await createHost(t, {
    options,
    after(app) {
      app.get('/me', { preHandler: app.verifySession }, async ({ session }) => session)
      app.get('/run', { preHandler: app.verifySession }, async (request) => run(request, app))
    }
  })
  return app
}

const FIELDS = ['id', 'user', 'data', 'createdAt', 'expiresAt', 'lastSeenAt', 'ip', 'userAgent']

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`request.session works with the ${name} store:`, async (t) => {
    const store = await createStore(t)
    const open = (app: FastifyInstance) => app.sessions.create({ id: 'ada' })
    const me = async (app: FastifyInstance, token: string) => (await app.inject(withToken(token))).json()
    const run = (app: FastifyInstance, token: string) => app.inject(withToken(token, { url: '/run' }))

    t.test('update() changes the data of the request, and of later requests on other instances', async (t) => {
      const app = await createRunner(t, { store }, async ({ session }) => {
        const first = await session.update({ a: 1, b: 1 })
        const second = await session.update({ b: undefined, c: 1 })
        return { first, second, data: session.data }
      })
      const other = await createRunner(t, { store }, () => {})
      const { token, session } = await open(app)
      await app.sessions.update(session.id, { kept: true })
      t.strictSame((await run(app, token)).json(), {
        first: { ...session, data: { kept: true, a: 1, b: 1 } },
        second: { ...session, data: { kept: true, a: 1, c: 1 } },
        data: { kept: true, a: 1, c: 1 }
      })
      t.strictSame(await me(other, token), { ...session, data: { kept: true, a: 1, c: 1 } })
    })

    t.test('update() keeps a simultaneous change of another request', async (t) => {
      const app = await createRunner(t, { store }, async ({ session }, app) => {
        await app.sessions.update(session.id, { theirs: 1 })
        await session.update({ ours: 1 })
        return session.data
      })
      const { token } = await open(app)
      t.strictSame((await run(app, token)).json(), { theirs: 1, ours: 1 })
    })

    t.test('update() returns null for an ended session, and does not reopen the session', async (t) => {
      const app = await createRunner(t, { store }, async ({ session }, app) => {
        await app.inject(logout(token))
        return { updated: await session.update({ a: 1 }), data: session.data }
      })
      const { token } = await open(app)
      t.strictSame((await run(app, token)).json(), { updated: null, data: {} })
      t.match(await me(app, token), { statusCode: 401, reason: 'logged_out' })
    })

    t.test('a rejected update() changes nothing, and is answered with a code', async (t) => {
      const app = await createRunner(t, { store }, ({ session }) => session.update({ a: 'x'.repeat(4_096) }))
      const { token, session } = await open(app)
      const answer = await run(app, token)
      t.match(answer.json(), { statusCode: 500, code: 'FST_JWT_SESSION_INVALID_DATA' })
      t.notOk(answer.headers['clear-site-data'] ?? answer.headers['session-ended'])
      t.strictSame(await me(app, token), session)
    })

    t.test('changes to the session object or to a result of update() end with the request', async (t) => {
      const app = await createRunner(t, { store }, async ({ session }, app) => {
        const list = { items: [1] }
        const [updated, again] = [await session.update({ list }), await app.sessions.update(session.id, {})]
        list.items.push(2)
        for (const { data } of [updated, again, session] as { data: Record<string, unknown> }[]) {
          Object.assign(data, { admin: true, list: 'gone' })
        }
        Object.assign(session, { data: { admin: true }, expiresAt: 0, lastSeenAt: 0 })
        return session
      })
      const { token, session } = await open(app)
      t.match((await run(app, token)).json(), { data: { admin: true }, expiresAt: 0 })
      t.strictSame(await me(app, token), { ...session, data: { list: { items: [1] } } })
    })

    t.test('JSON, structuredClone() and Object.entries() see only the fields of the session', async (t) => {
      const app = await createRunner(t, { store }, ({ session }) => {
        const inLoop: string[] = []
        for (const key in session) inLoop.push(key)
        return {
          ...{ inLoop, keys: Object.keys(session), own: Object.getOwnPropertyNames(session), json: session },
          ...{
            clone: structuredClone(session),
            spread: { ...session },
            symbols: Object.getOwnPropertySymbols(session).length
          }
        }
      })
      const { token, session } = await open(app)
      const answer = (await run(app, token)).json()
      const { inLoop, keys, own, symbols, ...copies } = answer
      for (const names of [inLoop, keys, own]) t.strictSame(names, FIELDS)
      for (const copy of Object.values(copies)) t.strictSame(copy, session)
      t.equal(symbols, 0)
    })
  })
}
