import type { TokenCustody } from '../custody/token-custody.js'
import { InvalidOptionError } from '../errors.js'
import type { Session, UpstreamAccess } from '../model/session.js'
import { checkFields, orDefaultEmpty } from '../options/checks.js'

/** Creates `request.session.upstream`. */
export function createUpstreamAccess(custody: Pick<TokenCustody, 'accessToken'>, session: Session): UpstreamAccess {
  return {
    async accessToken(options) {
      const { rejected } = checkFields('options', orDefaultEmpty(options), ['rejected'])
      if (rejected !== undefined && typeof rejected !== 'string') {
        throw new InvalidOptionError('rejected', 'must be the access token that the upstream has rejected')
      }
      return custody.accessToken(session, rejected)
    }
  }
}
