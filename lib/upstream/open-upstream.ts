import type { FastifyInstance } from 'fastify'
import { publishBreaker } from '../diagnostics/breaker.js'
import { createBreaker, logBreaker } from '../internal/circuit-breaker.js'
import { GuardedUpstream, type RefreshingClient } from './guarded-upstream.js'
import { HttpUpstream } from './http-upstream.js'
import { refreshByApplication } from './refresh.js'
import type { UpstreamConfig } from './upstream-config.js'

/** Opens the configured upstream with a timeout and circuit breakers. The connection pool closes with the app. */
export function openUpstream(fastify: FastifyInstance, { upstream: choice, breaker }: UpstreamConfig): GuardedUpstream {
  const { log } = fastify
  const logUpstream = logBreaker(log, 'upstream')
  const breakerFor = (calls: string) =>
    createBreaker(breaker.upstream, (isOpen) => {
      if (isOpen) log.error(`The upstream does not respond to ${calls}: until a probe succeeds, no ${calls} are sent`)
      else log.info(`The upstream responds to ${calls} again`)
    })
  const guard = (client: RefreshingClient, timeoutMs: number) =>
    new GuardedUpstream(client, {
      timeoutMs,
      breaker: createBreaker(breaker.upstream, (isOpen) => {
        logUpstream(isOpen)
        publishBreaker('upstream', isOpen)
      }),
      logoutBreaker: breakerFor('logouts'),
      refreshBreaker: breakerFor('refreshes')
    })
  if (choice.kind === 'custom') {
    const { client, tokens, timeoutMs } = choice
    return guard({ client, refresh: refreshByApplication(tokens?.refresh) }, timeoutMs)
  }
  const upstream = new HttpUpstream(choice.options, log)
  fastify.addHook('onClose', () => upstream.close())
  return guard({ client: upstream, refresh: upstream.refresh }, choice.options.timeoutMs)
}
