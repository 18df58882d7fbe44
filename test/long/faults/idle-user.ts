import { setTimeout as delay } from 'node:timers/promises'
import type { GuardAnswer, IdleApp } from './idle-app.js'

/** The results of a user. */
export interface IdleUser {
  readonly token: string
  /** Number of replies by status. */
  readonly answers: Map<number, number>
  /** Descriptions of broken rules, without duplicates. */
  readonly broken: Set<string>
  /** Whether a request was so late that the user was not active: the machine was busy, or no app was running. */
  isStarved: boolean
}

export function createUser(token: string): IdleUser {
  return { token, answers: new Map(), broken: new Set(), isStarved: false }
}

/** The requests of an active user. */
export interface Activity {
  /** The current app of the user; null while no app runs. */
  app(): IdleApp | null
  /** Milliseconds between two requests: a third of the idle timeout at most. */
  everyMs: number
  /** Milliseconds between two requests after which the user counts as idle. */
  starvedMs: number
  signal: AbortSignal
}

/** Sends requests at a steady pace until `signal` aborts. */
export async function beActive(user: IdleUser, { app, everyMs, starvedMs, signal }: Activity): Promise<void> {
  const pending = new Set<Promise<void>>()
  let sentAt = performance.now()
  for (let next = sentAt; !signal.aborted; next += everyMs) {
    await delay(Math.max(0, next - performance.now()))
    if (performance.now() - sentAt > starvedMs) user.isStarved = true
    const current = app()
    if (current === null) continue
    sentAt = performance.now()
    const sending: Promise<void> = sendAsActive(user, current).finally(() => pending.delete(sending))
    pending.add(sending)
  }
  await Promise.all(pending)
}

/** Sends a request. The reply must be 200 or 503, without the clear signal. */
async function sendAsActive(user: IdleUser, app: IdleApp): Promise<void> {
  // The app may be closed or killed meanwhile.
  const answer = await app.send(user.token).catch(() => null)
  if (answer !== null) judgeActive(user, answer)
}

function judgeActive(
  { answers, broken, isStarved }: IdleUser,
  { status, reason, hasClearSiteData }: GuardAnswer
): void {
  answers.set(status, (answers.get(status) ?? 0) + 1)
  if (isStarved) return
  if (status !== 200 && status !== 503) broken.add(`an active user is answered ${status}, ${reason}`)
  if (reason !== undefined || hasClearSiteData) broken.add(`an active user is answered ${status} with the clear signal`)
}

const ANSWERED_WITHIN_MS = 5_000
const PAUSE_MS = 20

/** The first reply other than 503. */
async function untilAnswered(app: IdleApp, token: string): Promise<GuardAnswer> {
  const deadline = performance.now() + ANSWERED_WITHIN_MS
  for (;;) {
    const answer = await app.send(token)
    if (answer.status !== 503 || performance.now() > deadline) return answer
    await delay(PAUSE_MS)
  }
}

/** The session of an active user is live after the outage. */
export async function expectLive(user: IdleUser, app: IdleApp): Promise<void> {
  const answer = await untilAnswered(app, user.token)
  judgeActive(user, answer)
  if (answer.status === 503) user.broken.add(`an active user is still answered 503 by ${app.name}`)
}

/** The session of a user without activity is expired after the outage and the idle timeout. */
export async function expectExpired({ token, broken, answers }: IdleUser, app: IdleApp): Promise<void> {
  const { status, reason } = await untilAnswered(app, token)
  answers.set(status, (answers.get(status) ?? 0) + 1)
  if (status !== 401 || reason !== 'expired') broken.add(`an idle user is answered ${status}, ${reason}`)
}
