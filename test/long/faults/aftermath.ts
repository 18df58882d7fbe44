import { setTimeout as delay } from 'node:timers/promises'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { logout, withToken } from '../../fixtures/app.js'
import { readPayload } from '../../fixtures/tokens.js'
import type { Fault } from './fault.js'
import { BACK_WITHIN_MS } from './judge.js'
import { loginAs, type Subject, type Visit } from './subject.js'

/** What is given back to a login whose answer was 503 is taken back within so long. */
const UNDONE_WITHIN_MS = 2_000
/** An attempt to follow a server that does not answer, and the pause behind it. */
const CACHED_WITHIN_MS = 4_000

/** What is not as it should be when a fault is over, in words: everything works, and what was answered holds. */
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

/** Whether sessions are served from the cache again; asked of one app at a time, for it counts what the server reads. */
export async function findUselessCache(subject: Subject, countReads: () => Promise<number>): Promise<string | null> {
  const token = (await ask(subject, loginAs(`${subject.name}-cached`))).json().access_token
  const giveUpAt = performance.now() + CACHED_WITHIN_MS
  for (;;) {
    await countReads()
    for (let i = 0; i < 3; i++) await statusOf(subject, token)
    if ((await countReads()) === 0) return null
    if (performance.now() > giveUpAt) return 'nothing is cached any more'
    await delay(20)
  }
}

/** The answer when it is back: for a moment it may still be 503, now and then on a machine with too much to do. */
async function ask({ app }: Subject, request: InjectOptions): Promise<LightMyRequestResponse> {
  const giveUpAt = performance.now() + BACK_WITHIN_MS
  for (;;) {
    const answer = await app.inject(request)
    if (answer.statusCode !== 503 || performance.now() > giveUpAt) return answer
    await delay(20)
  }
}

async function statusOf(subject: Subject, token: string): Promise<number> {
  return (await ask(subject, withToken(token))).statusCode
}

async function findUselessness(subject: Subject): Promise<string | null> {
  const login = await ask(subject, loginAs(`${subject.name}-next`))
  if (login.statusCode !== 200) return `a login is answered ${login.statusCode}`
  const token = login.json().access_token
  if ((await statusOf(subject, token)) !== 200) return 'a new session is not found'
  const list = await ask(subject, withToken(token, { url: '/user/sessions' }))
  if (list.statusCode !== 200) return `a list is answered ${list.statusCode}`
  const update = await ask(subject, withToken(token, { method: 'PUT', url: '/me/data', payload: { mark: 0 } }))
  if (update.statusCode !== 200) return `an update is answered ${update.statusCode}`
  const ended = await ask(subject, logout(token))
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
    if (status !== madeMeanwhile) return `a session made meanwhile is answered ${status}`
  }
  return null
}

async function findLostLogout({ afterwards = 200 }: Fault, subject: Subject, visits: Visit[]): Promise<string | null> {
  const wasEnded = visits.some(({ operation, answer }) => operation === 'logout' && answer.statusCode === 204)
  const { statusCode, headers } = await ask(subject, withToken(subject.tokens.logout))
  if (wasEnded && statusCode === 200) return 'a session lives on that was logged out'
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
  const kept = (await ask(subject, withToken(subject.tokens.update))).json().data?.mark
  return kept >= last ? null : 'an update is lost that was acknowledged'
}

/** A session without a token: the session would be listed, and count. */
async function findSecretLogin({ app, name }: Subject, visits: Visit[]): Promise<string | null> {
  const known = new Set(tokensOf(visits).map((token) => readPayload(token).jti))
  const giveUpAt = performance.now() + UNDONE_WITHIN_MS
  for (;;) {
    const sessions = await app.sessions.list(`${name}-login`).catch(() => null)
    const ids = sessions?.map(({ id }) => id) ?? []
    if (new Set(ids).size < ids.length) return 'a session is there twice'
    const secret = ids.filter((id) => !known.has(id))
    if (sessions !== null && secret.length === 0) return null
    if (performance.now() > giveUpAt) return `${secret.length} sessions are left of logins that were answered 503`
    await delay(20)
  }
}
