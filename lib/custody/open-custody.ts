import type { FastifyInstance } from 'fastify'
import { MinuteLog } from '../internal/minute-log.js'
import type { OpenRecord } from '../model/open-record.js'
import type { GuardedStore } from '../store/guarded-store.js'
import type { GuardedUpstream } from '../upstream/guarded-upstream.js'
import { timeoutOf, tokensConfigOf, type UpstreamChoice } from '../upstream/upstream-config.js'
import { StoredTokens } from './stored-tokens.js'
import { createTokenBoxes } from './token-box.js'
import { TokenCustody } from './token-custody.js'
import { TokenRefresh } from './token-refresh.js'
import { UnsavedTokens } from './unsaved-tokens.js'

/** Dependencies of {@link openCustody}. */
export interface OpenCustodyDeps {
  choice: UpstreamChoice
  upstream: Pick<GuardedUpstream, 'refresh'>
  store: GuardedStore
  openRecord: OpenRecord
}

/** Opens the custody of the upstream's tokens, closed with the app; null without `upstream.tokens`. */
export function openCustody(
  fastify: FastifyInstance,
  { choice, upstream, store, openRecord }: OpenCustodyDeps
): TokenCustody | null {
  const config = tokensConfigOf(choice)
  if (config === undefined) return null
  const { secrets, refreshBeforeMs, maxBytes } = config
  let isClosing = false
  const log = new MinuteLog(fastify.log)
  const stored = new StoredTokens({ store, openRecord, boxes: createTokenBoxes(secrets), log })
  const unsaved = new UnsavedTokens({ store, log: fastify.log })
  const refresh = new TokenRefresh({
    ...{ store, stored, unsaved, refreshBeforeMs, maxBytes, log },
    exchange: upstream.refresh,
    timeoutMs: timeoutOf(choice),
    isClosing: () => isClosing
  })
  const custody = new TokenCustody({ stored, unsaved, refresh, refreshBeforeMs, maxBytes, log })
  fastify.addHook('onClose', async () => {
    isClosing = true
    await custody.close()
  })
  return custody
}
