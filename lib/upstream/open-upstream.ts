import type { FastifyInstance } from 'fastify'
import { createBreaker, logBreaker } from '../internal/circuit-breaker.js'
import { createGuardedUpstream, type GuardedUpstream } from './guarded-upstream.js'
import { createHttpUpstream } from './http-upstream.js'
import type { UpstreamClient } from './upstream-client.js'
import type { UpstreamConfig } from './upstream-config.js'

/** The upstream that the options ask for, behind its breakers. A pool that is opened here is closed with the app. */
export function openUpstream(fastify: FastifyInstance, { upstream: choice, breaker }: UpstreamConfig): GuardedUpstream {
  const { log } = fastify
  const guard = (client: UpstreamClient, timeoutMs: number) =>
    createGuardedUpstream(client, {
      timeoutMs,
      breaker: createBreaker(breaker.upstream, logBreaker(log, 'upstream')),
      logoutBreaker: createBreaker(breaker.upstream, (isOpen) => {
        if (isOpen) log.error('The upstream does not respond to logouts: it is not notified of any until it does')
        else log.info('The upstream responds to logouts again')
      })
    })
  if (choice.kind === 'custom') return guard(choice.client, choice.timeoutMs)
  const upstream = createHttpUpstream(choice.options, log)
  fastify.addHook('onClose', () => upstream.close())
  return guard(upstream, choice.options.timeoutMs)
}
