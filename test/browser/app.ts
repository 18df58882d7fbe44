import { build } from 'esbuild'
import Fastify, { type FastifyInstance } from 'fastify'
import { fastifyJwtSession, type JwtSessionOptions, verifySession } from '../../lib/index.js'
import { SECRET } from '../fixtures/planted-secrets.js'

/** Options of the plugin that a test sets; JSON, for a process of its own. */
export interface AppOptions {
  redisUrl: string
  session?: JwtSessionOptions['session']
  cookie?: boolean
  events?: boolean
}

const PAGE = `<!doctype html>
<title>A page of the tests</title>
<main></main>
<script type="module" src="/page.js"></script>
`

/** A server with the plugin, the page, and routes that answer as servers do on bad days. */
export async function createApp({
  redisUrl,
  session = {},
  cookie,
  events = true
}: AppOptions): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    redis: { url: redisUrl },
    session,
    upstream: { login: async ({ username: id }) => ({ user: { id: String(id) } }) },
    routes: { events: events && { heartbeatSeconds: 5 } },
    ...(cookie && { cookie: {} })
  })
  const page = await compilePage()
  app.get('/', async (_, reply) => reply.type('text/html').send(PAGE))
  app.get('/page.js', async (_, reply) => reply.type('text/javascript').send(page))
  app.get('/elsewhere', async (_, reply) => reply.type('text/html').send('<!doctype html><title>Elsewhere</title>'))
  app.get('/me', { preHandler: verifySession }, async (request) => request.session.user)
  app.post('/me', { preHandler: verifySession }, async (request) => request.session.user)
  app.get<{ Params: { status: string } }>('/status/:status', async (request, reply) =>
    reply.code(Number(request.params.status)).send({ code: 'OF_THE_APP', reason: 'revoked' })
  )
  // Answers when the session has ended.
  const wait = () => new Promise<void>((resolve) => setTimeout(resolve, 1_000))
  app.get('/late', { preHandler: [wait, verifySession] }, async () => 'still live')
  return app
}

let compiled: Promise<string> | undefined

function compilePage(): Promise<string> {
  compiled ??= build({
    entryPoints: ['test/browser/page.ts'],
    bundle: true,
    format: 'esm',
    write: false,
    logLevel: 'error'
  }).then(({ outputFiles }) => outputFiles[0]?.text ?? '')
  return compiled
}
