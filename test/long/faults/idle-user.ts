import { setTimeout as delay } from 'node:timers/promises'
import type { GuardAnswer, IdleApp } from './idle-app.js'

/** What became of the user of an app. */
export interface IdleUser {
  readonly token: string
  /** How often the user was answered with each status. */
  readonly answers: Map<number, number>
  /** The rules that were broken, in words, each once. */
  readonly broken: Set<string>
  /** Whether a request was sent so late that the user was not active: the machine was busy, or no app was running. */
  isStarved: boolean
}

export function createUser(token: string): IdleUser {
  return { token, answers: new Map(), broken: new Set(), isStarved: false }
}

/** How a user behaves who is active. */
export interface Activity {
  /** The app that has the user at this moment; null while none runs. */
  app(): IdleApp | null
  /** Milliseconds between two requests: a third of the idle timeout at most. */
  everyMs: number
  /** Milliseconds between two requests by which the user was no longer active. */
  starvedMs: number
  signal: AbortSignal
}

/** Sends requests at a steady pace, whatever the answers, until it is stopped. */
export async function beActive(user: IdleUser, { app, everyMs, starvedMs, signal }: Activity): Promise<void> {
  const pending = new Set<Promise<void>>()
  let sentAt = performance.now()
  for (let next = sentAt; !signal.aborted; next += everyMs) {
    await delay(Math.max(0, next - performance.now()))
    if (performance.now() - sentAt > starvedMs) user.isStarved = true
    const asked = app()
    if (asked === null) continue
    sentAt = performance.now()
    const asking: Promise<void> = askAsActive(user, asked).finally(() => pending.delete(asking))
    pending.add(asking)
  }
  await Promise.all(pending)
}

/** One request; its answer is either 200 or 503, without the clear signal. */
async function askAsActive(user: IdleUser, app: IdleApp): Promise<void> {
  // An app may be closed or killed meanwhile.
  const answer = await app.ask(user.token).catch(() => null)
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

/** The answer once it is not 503. */
async function untilAnswered(app: IdleApp, token: string): Promise<GuardAnswer> {
  const giveUpAt = performance.now() + ANSWERED_WITHIN_MS
  for (;;) {
    const answer = await app.ask(token)
    if (answer.status !== 503 || performance.now() > giveUpAt) return answer
    await delay(PAUSE_MS)
  }
}

/** A user who was active all the time is let in, once all is well. */
export async function expectLive(user: IdleUser, app: IdleApp): Promise<void> {
  const answer = await untilAnswered(app, user.token)
  judgeActive(user, answer)
  if (answer.status === 503) user.broken.add(`an active user is still answered 503 by ${app.name}`)
}

/** A user who was not active for the outage and the idle timeout is told so. */
export async function expectExpired({ token, broken, answers }: IdleUser, app: IdleApp): Promise<void> {
  const { status, reason } = await untilAnswered(app, token)
  answers.set(status, (answers.get(status) ?? 0) + 1)
  if (status !== 401 || reason !== 'expired') broken.add(`an idle user is answered ${status}, ${reason}`)
}
