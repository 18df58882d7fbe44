import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { createApp } from './fixtures/app.js'
import { postJson } from './fixtures/post-json.js'
import { startUpstream } from './fixtures/upstream.js'

/** What the upstream says, by the username, with one word after the other of how much it knows. */
const ANSWERS: Record<string, { status: number; headers?: Record<string, string>; body: string }> = {
  unknown: { status: 404, body: '{"error":"There is no such user"}' },
  wrong: { status: 401, headers: { 'www-authenticate': 'Basic realm="users"' }, body: '{"error":"Wrong password"}' },
  locked: { status: 403, headers: { 'retry-after': '900' }, body: JSON.stringify({ error: 'Locked'.padEnd(20_000) }) },
  disabled: { status: 422, body: '' },
  malformed: { status: 400, headers: { 'content-type': 'text/html' }, body: '<h1>Names have no spaces</h1>' }
}
const NAMES = Object.keys(ANSWERS)
const TIMES = 1_000

/** An app whose upstream takes the same time for each status, and some more until it has written the longest text. */
async function createRefusingApp(t: Test): Promise<FastifyInstance> {
  const upstream = await startUpstream(t, (request, response) => {
    request.once('data', async (body) => {
      const { username } = JSON.parse(body)
      const { status, headers, body: text } = ANSWERS[username] as (typeof ANSWERS)[string]
      response.writeHead(status, { ...headers, 'content-length': text.length }).flushHeaders()
      if (username === 'locked') await delay(3)
      response.end(text)
    })
  })
  return createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
}

function logIn(app: FastifyInstance, username: string): Promise<LightMyRequestResponse> {
  return app.inject(postJson('/user/login', { username, password: 'anything' }))
}

t.test('whatever the upstream has against credentials, the answer is the same bytes', async (t) => {
  const app = await createRefusingApp(t)
  const answers = []
  for (const name of NAMES) {
    const { statusCode, headers, rawPayload } = await logIn(app, name)
    const { date, ...others } = headers
    answers.push({ statusCode, headers: Object.entries(others), body: rawPayload.toString('latin1') })
  }
  t.match(answers[0], { statusCode: 401, body: '"code":"FST_JWT_SESSION_CREDENTIALS_REJECTED"' })
  for (const answer of answers) t.strictSame(answer, answers[0])
})

t.test('and takes the same time: the medians of 1,000 each are within a millisecond', async (t) => {
  const app = await createRefusingApp(t)
  const times: Record<string, number[]> = { unknown: [], wrong: [], locked: [] }
  // Each behind each as often: what one leaves behind, such as a connection that is still busy, the next one pays for.
  const [a, b, c] = Object.keys(times) as [string, string, string]
  const order = [a, a, b, b, c, c, a, c, b]
  for (let n = 0; n < TIMES * 3; n++) {
    const name = order[n % order.length] as string
    const startedAt = performance.now()
    await logIn(app, name)
    times[name]?.push(performance.now() - startedAt)
  }
  const medians = Object.values(times).map((list) => list.sort((a, b) => a - b)[TIMES / 2] as number)
  t.comment([a, b, c].map((name, index) => `${name} ${medians[index]?.toFixed(3)} ms`).join(', '))
  t.ok(Math.max(...medians) - Math.min(...medians) < 1)
})
