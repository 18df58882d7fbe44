import type { AccessTokens } from './access-token.js'
import type { TokenTransport, TransportRequest } from './transport.js'

/** Dependencies of {@link findTokenSession}. */
export interface TokenSessionDeps {
  transport: Pick<TokenTransport, 'read'>
  accessTokens: Pick<AccessTokens, 'findSession'>
}

/**
 * Finds the session of the request's token: the id, and the absolute expiry in epoch milliseconds. The session may have
 * ended. Null without a token signed by this application.
 */
export function findTokenSession(
  request: TransportRequest,
  { transport, accessTokens }: TokenSessionDeps
): { id: string; expiresAt: number } | null {
  const token = transport.read(request)
  return token === null ? null : accessTokens.findSession(token)
}
