import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { logout, withToken } from '../../fixtures/app.js'
import { PASSWORD } from '../../fixtures/upstream.js'

/** A session as known to the client, by replies alone. */
interface KnownSession {
  token: string
  /** When the login was acknowledged, by `performance.now()`. */
  openedAt: number
  /** When the logout was acknowledged. */
  endedAt: number | null
  /** Whether a logout was answered 503, so that the session may have ended. */
  isUnsure: boolean
}

/** Whether a write that was acknowledged at a time must survive the failover. */
export type IsSafe = (acknowledgedAt: number) => boolean

/** Acknowledged writes, and lost writes. */
export interface Verdict {
  logins: number
  logouts: number
  /** Lost writes that were acknowledged without proof of a replica. */
  lostLogins: number
  lostLogouts: number
}

/** A client that records acknowledged writes and replies. */
export interface Ledger {
  /** Number of replies by status. */
  readonly answers: ReadonlyMap<number, number>
  /** Time of the slowest reply in ms. */
  readonly slowestMs: number
  /** Descriptions of replies that break a rule. */
  readonly wrong: string[]
  /** Logs a user in and requests the user's private page; false when a request failed. */
  visit(userId: string): Promise<boolean>
  /** Logs in, requests private pages and logs out, until `signal` aborts. */
  work(users: string[], signal: AbortSignal): Promise<void>
  /** Checks every session after the failover. */
  settle(): Promise<Verdict>
}

const PAUSE_MS = 5

export function createLedger(app: FastifyInstance, isSafe: IsSafe): Ledger {
  const sessions: KnownSession[] = []
  const answers = new Map<number, number>()
  const wrong: string[] = []
  let slowestMs = 0

  async function send(request: InjectOptions, good: number) {
    const startedAt = performance.now()
    const answer = await app.inject(request)
    const { statusCode } = answer
    slowestMs = Math.max(slowestMs, performance.now() - startedAt)
    answers.set(statusCode, (answers.get(statusCode) ?? 0) + 1)
    if (![good, 401, 503].includes(statusCode)) wrong.push(`was answered ${statusCode}`)
    const isClear = answer.headers['session-ended'] !== undefined
    if (isClear !== [204, 401].includes(statusCode)) wrong.push(`${statusCode} came with the wrong signal`)
    return answer
  }

  async function open(userId: string): Promise<KnownSession | null> {
    const payload = { username: userId, password: PASSWORD }
    const answer = await send({ method: 'POST', url: '/user/login', payload }, 200)
    if (answer.statusCode === 401) wrong.push('a login was refused')
    if (answer.statusCode !== 200) return null
    const session = { token: answer.json().access_token, openedAt: performance.now(), endedAt: null, isUnsure: false }
    sessions.push(session)
    return session
  }

  async function check(session: KnownSession): Promise<number> {
    const { statusCode } = await send(withToken(session.token), 200)
    const { openedAt, endedAt, isUnsure } = session
    if (statusCode === 401 && endedAt === null && !isUnsure && isSafe(openedAt)) wrong.push('an open session was ended')
    if (statusCode === 200 && endedAt !== null && isSafe(endedAt)) wrong.push('a session that has ended was let in')
    return statusCode
  }

  async function end(session: KnownSession): Promise<void> {
    const { statusCode } = await send(logout(session.token), 204)
    if (statusCode === 204) session.endedAt = performance.now()
    else session.isUnsure = true
    if (statusCode === 401) wrong.push('a logout was refused')
  }

  async function work(users: string[], signal: AbortSignal): Promise<void> {
    const mine: KnownSession[] = []
    const pick = <Item>(items: Item[]) => items[Math.floor(Math.random() * items.length)] as Item
    while (!signal.aborted) {
      const dice = Math.random()
      const session = pick(mine)
      if (session === undefined || dice < 0.2) {
        const opened = await open(pick(users))
        if (opened !== null) mine.push(opened)
      } else if (dice < 0.4 && session.endedAt === null) await end(session)
      else await check(session)
      await delay(PAUSE_MS)
    }
  }

  async function untilAnswered(session: KnownSession): Promise<number> {
    for (;;) {
      const status = await check(session)
      if (status !== 503) return status
      await delay(PAUSE_MS)
    }
  }

  async function settle(): Promise<Verdict> {
    const verdict = { logins: sessions.length, logouts: 0, lostLogins: 0, lostLogouts: 0 }
    for (const session of sessions) {
      const status = await untilAnswered(session)
      if (session.endedAt !== null) verdict.logouts++
      if (session.endedAt === null && !session.isUnsure && status === 401) verdict.lostLogins++
      if (session.endedAt !== null && status === 200) verdict.lostLogouts++
    }
    return verdict
  }

  return {
    answers,
    get slowestMs() {
      return slowestMs
    },
    wrong,
    async visit(userId) {
      const session = await open(userId)
      return session !== null && (await check(session)) === 200
    },
    work,
    settle
  }
}
