import { isUtf8 } from 'node:buffer'
import { text } from 'node:stream/consumers'
import type { FastifyInstance } from 'fastify'
import { fastifyJwtSession } from '../../../lib/index.js'
import { SECRET, withToken } from '../../fixtures/app.js'
import { startUpstream } from '../../fixtures/upstream.js'
import { createWatchedFastify, type Watched } from '../../fixtures/watched-fastify.js'
import { BODY_KINDS, type Expected } from './bodies.js'
import type { Cases, FuzzResult } from './fuzz-tokens.js'
import { createRandom } from './random.js'

/** The results for a kind of body. */
export interface BodyTally {
  sent: number
  /** Bodies that reached the upstream; for a logout, ended sessions. */
  passed: number
  refused: number
}

const ROUTES = ['login', 'register', 'logout'] as const
const GOOD_STATUS = { login: 200, register: 201, logout: 204 }
const KINDS = Object.keys(BODY_KINDS)
const MAX_FAILURES = 10

/** Sends bodies to the three routes. The upstream is an HTTP server that accepts every request. */
export async function fuzzBodies(t: Watched, { seed, count, first = 0 }: Cases): Promise<FuzzResult<BodyTally>> {
  const { app, reached } = await createApp(t)
  const { token } = await app.sessions.create({ id: 'grace' })
  const tallies = new Map(KINDS.map((kind) => [kind, { sent: 0, passed: 0, refused: 0 }]))
  const failures: string[] = []
  for (let index = first; index < first + count && failures.length < MAX_FAILURES; index++) {
    const random = createRandom(seed, index)
    const [kind, route] = [random.pick(KINDS), random.pick(ROUTES)]
    const { expected, make } = BODY_KINDS[kind] as (typeof BODY_KINDS)[string]
    const { body, type } = make(random, route === 'login')
    const answer = await post(app, route, body, type)
    const wrong = judge({ ...answer, route, body, expected, reached: reached.splice(0) })
    const tally = tallies.get(kind) as BodyTally
    tally.sent++
    if (answer.statusCode === GOOD_STATUS[route]) tally.passed++
    else tally.refused++
    if (wrong)
      failures.push(
        `--seed ${seed} --first ${index} (${kind}, ${route}, ${type}): ${wrong}: ${JSON.stringify(String(body))}`
      )
  }
  // No body may change Object.prototype or a session.
  if ('admin' in {}) failures.push(`--seed ${seed}: Object.prototype was changed`)
  if ((await app.inject(withToken(token))).statusCode !== 200) failures.push(`--seed ${seed}: a session has ended`)
  return { tallies, failures }
}

/** An app, and the bodies that have reached the upstream. */
async function createApp(t: Watched): Promise<{ app: FastifyInstance; reached: string[] }> {
  const reached: string[] = []
  const upstream = await startUpstream(t, async (request, response) => {
    reached.push(await text(request))
    response.end('{"user":{"id":"ada"}}')
  })
  const app = createWatchedFastify(t)
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream: { baseUrl: upstream.baseUrl },
    session: { maxPerUser: 1 }
  })
  app.get('/me', { preHandler: app.verifySession }, async () => 'ok')
  await app.ready()
  return { app, reached }
}

async function post(app: FastifyInstance, route: string, payload: string | Buffer, type: string | undefined) {
  const headers = type === undefined ? {} : { 'content-type': type }
  const { statusCode, body: answer } = await app.inject({ method: 'POST', url: `/user/${route}`, headers, payload })
  return { statusCode, answer }
}

interface Answered {
  route: (typeof ROUTES)[number]
  body: string | Buffer
  expected: Expected
  statusCode: number
  answer: string
  reached: string[]
}

/** The fault in the reply, or undefined. */
function judge({ route, body, expected, statusCode, answer, reached }: Answered): string | undefined {
  const isGood = statusCode === GOOD_STATUS[route]
  const isRefusal = [400, 413, 415].includes(statusCode)
  if (!isGood && !isRefusal) return `${statusCode} ${answer}`
  if (isRefusal && JSON.parse(answer).statusCode !== statusCode) return `an error reply with ${answer}`
  // The body of a logout is ignored.
  if (route === 'logout') return reached.length > 0 ? 'a logout that reached the upstream' : undefined
  if (expected === (isGood ? 'refused' : 'accepted')) return `${statusCode}, and should be ${expected}`
  if (reached.length !== (isGood ? 1 : 0)) return `${statusCode}, and the upstream was called ${reached.length} times`
  const [passed] = reached
  if (passed === undefined) return undefined
  if (!isUtf8(Buffer.from(body as string))) return 'a body that is no UTF-8 got through'
  if (!isAllowed(JSON.parse(passed), route)) return `the upstream got ${passed}`
  // As JSON.parse(): the last value of a repeated key counts. The byte order mark is not part of the text.
  if (passed !== JSON.stringify(JSON.parse(String(body).replace(/^\ufeff/, ''))))
    return `the upstream got a different body: ${passed}`
  return undefined
}

/** The rules of the contract, in a second implementation. */
function isAllowed(body: Record<string, unknown>, route: string): boolean {
  const { username, password, email = 'none', ...more } = body
  return (
    Object.keys(more).length === 0 &&
    isText(username, 256) &&
    isText(password, 1_024) &&
    isText(email, 254) &&
    !(route === 'login' && Object.hasOwn(body, 'email'))
  )
}

function isText(value: unknown, max: number): boolean {
  return typeof value === 'string' && value.length > 0 && [...value].length <= max
}
