import { createHmac, randomBytes } from 'node:crypto'
import { credentialOf, loginRequests, toRequest } from '../../load/requests.js'
import type { RunningServer } from '../../running-server.js'
import { SECRET } from '../../servers/bench-server.js'
import type { Bench } from '../bench.js'
import { BATCH, type Comparison, measureSubjects, newBatches } from './comparison.js'

const GOAL = 2

/** Compares the refusal of bad tokens with the verification of good tokens, one token per request of a batch. */
export async function compareRefusals(bench: Bench, server: RunningServer): Promise<Comparison[]> {
  const good = await logIn(bench, server)
  const ended = await logIn(bench, server)
  const logouts = ended.map((token) => toRequest('POST', '/user/logout', bearer(token)))
  await bench.generator.run({ port: server.port, requests: logouts })

  const verified = { server, batches: newBatches('a good token'), requests: good.map(toVerification) }
  const refused = Object.entries({
    'garbage instead of a token': good.map(({ length }) => randomBytes(length).toString('base64url').slice(0, length)),
    'an expired token': good.map(toExpired),
    'a token with a wrong signature': good.map((token) => sign(unsigned(token), `not ${SECRET}`)),
    'the token of an ended session': ended
  }).map(([title, tokens]) => {
    return { server, batches: newBatches(title), requests: tokens.map(toVerification), status: 401 }
  })
  await measureSubjects(bench, [verified, ...refused])
  return refused.map(({ batches }) => {
    return { title: `${server.title}: refusal`, own: batches, other: verified.batches, goal: GOAL }
  })
}

async function logIn({ generator }: Bench, { port }: RunningServer): Promise<string[]> {
  const requests = loginRequests(BATCH, (index) => `refused-${index}`)
  const { answers } = await generator.run({ port, requests, keepAnswers: true })
  return answers.map((answer) => credentialOf(answer, undefined).authorization?.replace('Bearer ', '') ?? '')
}

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` }
}

function toVerification(token: string): string {
  return toRequest('GET', '/me', bearer(token))
}

/** Header and payload of a token. */
function unsigned(token: string): string {
  return token.slice(0, token.lastIndexOf('.'))
}

function sign(text: string, secret: string): string {
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

/** The token as if the login had been a day ago. */
function toExpired(token: string): string {
  const [header, payload = ''] = token.split('.')
  const day = 86_400
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { iat: number; exp: number }
  const expired = JSON.stringify({ ...claims, iat: claims.iat - day, exp: claims.exp - day })
  return sign(`${header}.${Buffer.from(expired).toString('base64url')}`, SECRET)
}
