import { checkCount, checkFields, checkSwitch } from '../options/checks.js'

/** What `verifySession` does on one route: its `config.session`. */
export interface SessionRouteSettings {
  /** Whether a request without credentials is let through, with `request.session` null. Default false. */
  optional?: boolean | undefined
  /**
   * Seconds since the login after which the route asks for a new one, with 401 `FST_JWT_SESSION_NOT_FRESH` and without
   * ending the session: 1 to 2 147 483 647. For a changed password or a payment (OWASP ASVS 7.5.1). Default: never.
   */
  freshSeconds?: number | undefined
  /** Whether a request is activity, which extends the idle expiry of the session. Default true. */
  slide?: boolean | undefined
}

/** @throws {InvalidOptionError} for the `config.session` of a route that is wrong or has an unknown field */
export function checkRouteSettings(settings: SessionRouteSettings): void {
  checkFields('config.session', settings, ['optional', 'freshSeconds', 'slide'])
  checkCount('config.session.freshSeconds', settings.freshSeconds, undefined)
  checkSwitch('config.session.optional', settings.optional, false)
  checkSwitch('config.session.slide', settings.slide, true)
}
