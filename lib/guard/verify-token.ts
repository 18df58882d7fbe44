import { observeLoading, startVerification } from '../diagnostics/verification.js'
import { SessionEndedError } from '../errors.js'
import { copyParsed } from '../internal/json.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { Session } from '../model/session.js'
import { checkBoolean, checkFields, orDefaultEmpty } from '../options/checks.js'
import type { VerifyOptions } from '../sessions.js'
import type { Authentication } from './authenticate.js'

/** Creates `app.sessions.verify()`. */
export function createVerifyToken(authentication: Authentication, newBudget: () => TimeBudget) {
  async function load(token: string, slide: boolean): Promise<Session> {
    if (typeof token !== 'string') throw new SessionEndedError('invalid_token')
    return authentication.load(token, { slide, ...ANY_AGE }, newBudget())
  }

  return async (token: string, options?: VerifyOptions): Promise<Session> => {
    const fields = checkFields('options', orDefaultEmpty(options), ['slide'])
    const slide = checkBoolean('slide', fields.slide, true)
    const verification = startVerification(null)
    const cached = typeof token === 'string' ? authentication.findCached(token, { slide, ...ANY_AGE }) : undefined
    if (cached !== undefined) verification?.succeed({ cached: true })
    const session = cached ?? (await observeLoading(verification, load(token, slide)))
    // A cached session is shared with requests.
    return { ...session, user: copyParsed(session.user), data: copyParsed(session.data) }
  }
}

const ANY_AGE = { freshSeconds: Number.POSITIVE_INFINITY }
