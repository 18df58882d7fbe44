import { setTimeout as delay } from 'node:timers/promises'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { logout, withToken } from '../../fixtures/app.js'
import { readPayload } from '../../fixtures/tokens.js'
import type { Fault } from './fault.js'
import { BACK_WITHIN_MS } from './judge.js'
import { loginAs, type Subject, type Visit } from './subject.js'

/** Time limit for the end of sessions whose login was answered 503. */
const UNDONE_WITHIN_MS = 2_000
/** Time of an attempt to track a server without a response, plus the pause after the attempt. */
const CACHED_WITHIN_MS = 4_000

/** Broken rules after a fault: every operation works, and acknowledged writes are stored. */
export async function findAftermath(fault: Fault, subject: Subject, visits: Visit[]): Promise<string[]> {
  const found = [
    await findUselessness(subject),
    await findLostLogin(fault, subject, visits),
    await findLostLogout(fault, subject, visits),
    await findLostUpdate(fault, subject, visits),
    await findSecretLogin(subject, visits)
  ]
  return found.filter((text) => text !== null)
}

/** Checks that the cache works again. One app at a time, because the check counts reads of the server. */
export async function findUselessCache(subject: Subject, countReads: () => Promise<number>): Promise<string | null> {
  const token = (await send(subject, loginAs(`${subject.name}-cached`))).json().access_token
  const deadline = performance.now() + CACHED_WITHIN_MS
  for (;;) {
    await countReads()
    for (let i = 0; i < 3; i++) await statusOf(subject, token)
    if ((await countReads()) === 0) return null
    if (performance.now() > deadline) return 'no session is cached'
    await delay(20)
  }
}

/** Sends a request, and repeats the request for a moment after a 503: the service may recover late. */
async function send({ app }: Subject, request: InjectOptions): Promise<LightMyRequestResponse> {
  const deadline = performance.now() + BACK_WITHIN_MS
  for (;;) {
    const answer = await app.inject(request)
    if (answer.statusCode !== 503 || performance.now() > deadline) return answer
    await delay(20)
  }
}

async function statusOf(subject: Subject, token: string): Promise<number> {
  return (await send(subject, withToken(token))).statusCode
}

async function findUselessness(subject: Subject): Promise<string | null> {
  const login = await send(subject, loginAs(`${subject.name}-next`))
  if (login.statusCode !== 200) return `a login is answered ${login.statusCode}`
  const token = login.json().access_token
  if ((await statusOf(subject, token)) !== 200) return 'a new session is not found'
  const list = await send(subject, withToken(token, { url: '/user/sessions' }))
  if (list.statusCode !== 200) return `a list is answered ${list.statusCode}`
  const update = await send(subject, withToken(token, { method: 'PUT', url: '/me/data', payload: { mark: 0 } }))
  if (update.statusCode !== 200) return `an update is answered ${update.statusCode}`
  const ended = await send(subject, logout(token))
  if (ended.statusCode !== 204 || (await statusOf(subject, token)) !== 401) return 'a logout has no effect'
  return null
}

function tokensOf(visits: Visit[]): string[] {
  const logins = visits.filter(({ operation, answer }) => operation === 'login' && answer.statusCode === 200)
  return logins.map(({ answer }) => answer.json().access_token)
}

async function findLostLogin(
  { madeMeanwhile = 200 }: Fault,
  subject: Subject,
  visits: Visit[]
): Promise<string | null> {
  for (const token of tokensOf(visits)) {
    const status = await statusOf(subject, token)
    if (status !== madeMeanwhile) return `a session that was opened during the fault is answered ${status}`
  }
  return null
}

async function findLostLogout({ afterwards = 200 }: Fault, subject: Subject, visits: Visit[]): Promise<string | null> {
  const wasEnded = visits.some(({ operation, answer }) => operation === 'logout' && answer.statusCode === 204)
  const { statusCode, headers } = await send(subject, withToken(subject.tokens.logout))
  if (wasEnded && statusCode === 200) return 'a logged-out session is live'
  const reasons = afterwards === 401 ? ['logged_out', 'unknown'] : ['logged_out']
  if (statusCode === 401 && !reasons.includes(String(headers['session-ended']))) {
    return `a session that was to be logged out has ended, ${headers['session-ended']}`
  }
  return null
}

async function findLostUpdate({ afterwards = 200 }: Fault, subject: Subject, visits: Visit[]): Promise<string | null> {
  const acknowledged = visits.filter(({ operation, answer }) => operation === 'update' && answer.statusCode === 200)
  const last = Math.max(0, ...acknowledged.map(({ mark }) => mark))
  if (afterwards === 401 || last === 0) return null
  const kept = (await send(subject, withToken(subject.tokens.update))).json().data?.mark
  return kept >= last ? null : 'an acknowledged update is lost'
}

/** Checks for sessions whose token no client has. */
async function findSecretLogin({ app, name }: Subject, visits: Visit[]): Promise<string | null> {
  const known = new Set(tokensOf(visits).map((token) => readPayload(token).jti))
  const deadline = performance.now() + UNDONE_WITHIN_MS
  for (;;) {
    const sessions = await app.sessions.list(`${name}-login`).catch(() => null)
    const ids = sessions?.map(({ id }) => id) ?? []
    if (new Set(ids).size < ids.length) return 'a session is listed twice'
    const secret = ids.filter((id) => !known.has(id))
    if (sessions !== null && secret.length === 0) return null
    if (performance.now() > deadline) return `${secret.length} sessions of logins that were answered 503 are live`
    await delay(20)
  }
}
