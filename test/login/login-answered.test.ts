import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply, FastifyServerOptions, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStore, fastifyJwtSession, type JwtSessionOptions } from '../../lib/index.js'
import { SECRET } from '../fixtures/app.js'
import { createGate } from '../fixtures/create-gate.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { until } from '../fixtures/until.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const USER = { id: 'ada' }

/** Asserts the reply of the host, with the status in the name of the host. */
function assertHostReply(t: Test, { body, statusCode }: LightMyRequestResponse, hostName: string): void {
  t.equal(body, '{"host":true}')
  t.equal(statusCode, hostName.includes('200') ? 200 : 503)
}

/** An app with one session, whose upstream and memory store wait for gates. */
async function createSlowApp(
  t: Test,
  {
    before = () => {},
    options = {},
    server = {}
  }: {
    before?(app: FastifyInstance): unknown
    options?: Partial<JwtSessionOptions>
    server?: FastifyServerOptions
  } = {}
) {
  const upstream = createGate()
  const called = createGate()
  const stored = createGate()
  let isStoreSlow = false
  const memory = createMemoryStore()
  const store = {
    ...memory,
    async create(...args: Parameters<typeof memory.create>) {
      const result = await memory.create(...args)
      if (isStoreSlow) await stored.opened
      return result
    }
  }
  const { lines, logger } = createLog()
  const app = createWatchedFastify(t, { logger, ...server })
  await before(app)
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    store,
    storeTimeoutMs: 30_000,
    upstream: {
      async login() {
        called.open()
        await upstream.opened
        return { user: USER }
      },
      async register() {
        called.open()
        await upstream.opened
        return { user: USER }
      }
    },
    ...options
  })
  await app.ready()
  const { session } = await app.sessions.create(USER)
  return {
    app,
    lines,
    session,
    upstream,
    called,
    stored,
    slowStore() {
      isStoreSlow = true
    },
    ids: async () => (await app.sessions.list(USER.id)).map(({ id }) => id)
  }
}

/** How the host can reply before the plugin, when `answer` resolves. */
const HOSTS = {
  'a timer of the application': (app: FastifyInstance, answer: Promise<void>) => {
    app.addHook('onRequest', async (_request, reply) => {
      void answer.then(() => reply.code(503).send({ host: true }))
    })
  },
  'a timer that answers 200': (app: FastifyInstance, answer: Promise<void>) => {
    app.addHook('onRequest', async (_request, reply) => {
      void answer.then(() => reply.send({ host: true }))
    })
  },
  'a timer that writes to the socket': (app: FastifyInstance, answer: Promise<void>) => {
    app.addHook('onRequest', async (_request, reply) => {
      void answer.then(() => {
        reply.hijack()
        reply.raw.writeHead(503, { 'content-type': 'application/json' }).end('{"host":true}')
      })
    })
  }
}

for (const [name, host] of Object.entries(HOSTS)) {
  for (const isHookSlow of [false, true]) {
    t.test(`${name}, ${isHookSlow ? 'with' : 'without'} a slow onSend hook`, async (t) => {
      async function start(t: Test) {
        const answer = createGate()
        const sent = createGate()
        const inHook = createGate()
        const slow = await createSlowApp(t, {
          options: { session: { maxPerUser: 1 } },
          before(app) {
            host(app, answer.opened)
            if (!isHookSlow) return
            app.addHook('onSend', async () => {
              inHook.open()
              await sent.opened
            })
          }
        })
        // Bytes that are written to the socket pass no hook.
        const isHooked = isHookSlow && !name.includes('socket')
        const answerInHook = isHooked ? inHook.opened : Promise.resolve()
        return { ...slow, answer, sent, answerInHook, inHook: inHook.opened }
      }

      t.test('no session is opened or ended when the host replies before the upstream responds', async (t) => {
        const { app, lines, session, answer, sent, answerInHook, upstream, called, ids } = await start(t)
        const login = app.inject(postJson('/user/login', CREDENTIALS))
        await called.opened
        answer.open()
        await answerInHook
        upstream.open()
        await new Promise(setImmediate)
        sent.open()
        assertHostReply(t, await login, name)
        t.strictSame(await ids(), [session.id])
        t.notOk(lines.some((line) => line.includes('"level":50')))
      })

      t.test('the new session is ended when the host replies during create()', async (t) => {
        const { app, session, answer, sent, answerInHook, upstream, stored, slowStore, ids } = await start(t)
        slowStore()
        upstream.open()
        const login = app.inject(postJson('/user/login', CREDENTIALS))
        await until(async () => !(await ids()).includes(session.id))
        answer.open()
        await answerInHook
        stored.open()
        await new Promise(setImmediate)
        sent.open()
        t.equal((await login).body, '{"host":true}')
        await until(async () => (await ids()).length === 0)
      })

      if (!isHookSlow) return
      t.test(
        'the new session is ended when the host replies while the reply of the login waits in the hook',
        async (t) => {
          const { app, answer, sent, inHook, upstream, ids } = await start(t)
          upstream.open()
          const login = app.inject(postJson('/user/login', CREDENTIALS))
          await inHook
          answer.open()
          await new Promise(setImmediate)
          sent.open()
          await login
          await until(async () => (await ids()).length === 0)
        }
      )
    })
  }
}

t.test('no session is opened after the handlerTimeout of Fastify', async (t) => {
  const { app, session, upstream, ids } = await createSlowApp(t, { server: { handlerTimeout: 50 } })
  const { statusCode } = await app.inject(postJson('/user/login', CREDENTIALS))
  t.equal(statusCode, 503)
  upstream.open()
  await new Promise(setImmediate)
  t.strictSame(await ids(), [session.id])
})

t.test('a registration that the host has answered gets no second reply', async (t) => {
  const answer = createGate()
  const sent = createGate()
  const { app, lines, upstream, called } = await createSlowApp(t, {
    before(app) {
      HOSTS['a timer of the application'](app, answer.opened)
      app.addHook('onSend', async () => sent.opened)
    }
  })
  const registration = app.inject(postJson('/user/register', CREDENTIALS))
  await called.opened
  answer.open()
  await new Promise(setImmediate)
  upstream.open()
  await new Promise(setImmediate)
  sent.open()
  t.equal((await registration).statusCode, 503)
  t.notOk(lines.some((line) => line.includes('"level":50')))
})

t.test('a hook that fails on the reply of the login ends the new session', async (t) => {
  for (const hook of ['onSend', 'preSerialization'] as const) {
    const { app, session, upstream, ids } = await createSlowApp(t, {
      before: (app) =>
        app.addHook(hook, async (_request, reply) => {
          if (reply.statusCode === 200) throw new Error('The hook is broken')
        })
    })
    upstream.open()
    t.equal((await app.inject(postJson('/user/login', CREDENTIALS))).statusCode, 500)
    await until(async () => (await ids()).join() === session.id)
  }
})

t.test('a hook that rewrites the reply does not end the new session', async (t) => {
  const { app, upstream, ids } = await createSlowApp(t, {
    before: (app) =>
      app.addHook('onSend', async (_request, _reply, payload) => {
        await delay(1)
        return Buffer.from(`sealed:${payload}`).toString('base64')
      })
  })
  upstream.open()
  t.equal((await app.inject(postJson('/user/login', CREDENTIALS))).statusCode, 200)
  await new Promise(setImmediate)
  t.equal((await ids()).length, 2)
})

for (const [name, preset] of Object.entries({
  'an error status': (reply: FastifyReply): void => void reply.code(401),
  'an error status and a content type': (reply: FastifyReply): void => void reply.code(503).type('application/json')
})) {
  t.test(`a login and a registration are answered although a hook of the host has set ${name}`, async (t) => {
    const { app, session, upstream, ids } = await createSlowApp(t, {
      before: (app) => app.addHook('onRequest', async (_request, reply) => preset(reply))
    })
    upstream.open()
    const login = await app.inject(postJson('/user/login', CREDENTIALS))
    t.equal(login.statusCode, 200)
    t.equal(login.json().user.id, USER.id)
    await new Promise(setImmediate)
    t.equal((await ids()).length, 2)
    t.ok((await ids()).includes(session.id))
    t.equal((await app.inject(postJson('/user/register', CREDENTIALS))).statusCode, 201)
  })
}

t.test('app.sessions.login() opens a session although a hook of the host has set an error status', async (t) => {
  const { app, ids } = await createSlowApp(t, {
    before: (app) => {
      app.addHook('onRequest', async (_request, reply) => void reply.code(401))
      app.post('/magic', async (request, reply) => {
        const answer = await app.sessions.login(request, reply, USER)
        reply.code(200)
        return answer
      })
    }
  })
  const login = await app.inject({ method: 'POST', url: '/magic' })
  t.equal(login.statusCode, 200)
  t.equal(login.json().user.id, USER.id)
  await new Promise(setImmediate)
  t.equal((await ids()).length, 2)
})

for (const [name, host] of Object.entries(HOSTS)) {
  t.test(`no session is opened when the host replies before the body is read: ${name}`, async (t) => {
    const [parsing, parse, answer, sent] = [createGate(), createGate(), createGate(), createGate()]
    const { app, session, upstream, ids } = await createSlowApp(t, {
      before(app) {
        host(app, answer.opened)
        app.addHook('preParsing', async () => {
          parsing.open()
          await parse.opened
        })
        app.addHook('onSend', async () => sent.opened)
      }
    })
    upstream.open()
    const login = app.inject(postJson('/user/login', CREDENTIALS))
    await parsing.opened
    answer.open()
    await new Promise(setImmediate)
    parse.open()
    await new Promise(setImmediate)
    sent.open()
    assertHostReply(t, await login, name)
    t.strictSame(await ids(), [session.id])
  })
}
