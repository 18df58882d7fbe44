import { SessionEndedError } from '../errors.js'
import { copyParsed } from '../internal/json.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { Session } from '../model/session.js'
import { checkBoolean, checkFields, orDefaultEmpty } from '../options/checks.js'
import type { VerifyOptions } from '../sessions.js'
import type { Authentication } from './authenticate.js'

/** Creates `app.sessions.verify()`. */
export function createVerifyToken(authentication: Authentication, newBudget: () => TimeBudget) {
  return async (token: string, options?: VerifyOptions): Promise<Session> => {
    const { slide } = checkFields('options', orDefaultEmpty(options), ['slide'])
    const settings = { freshSeconds: Number.POSITIVE_INFINITY, slide: checkBoolean('slide', slide, true) }
    if (typeof token !== 'string') throw new SessionEndedError('invalid_token')
    const { session } =
      authentication.findCached(token, settings) ?? (await authentication.load(token, settings, newBudget()))
    // A cached session is shared with requests.
    return { ...session, user: copyParsed(session.user), data: copyParsed(session.data) }
  }
}
