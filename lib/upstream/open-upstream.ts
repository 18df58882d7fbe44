import type { FastifyInstance } from 'fastify'
import { publishBreaker } from '../diagnostics/breaker.js'
import { createBreaker, logBreaker } from '../internal/circuit-breaker.js'
import { GuardedUpstream } from './guarded-upstream.js'
import { HttpUpstream } from './http-upstream.js'
import type { UpstreamClient } from './upstream-client.js'
import type { UpstreamConfig } from './upstream-config.js'

/** Opens the configured upstream with a timeout and circuit breakers. The connection pool closes with the app. */
export function openUpstream(fastify: FastifyInstance, { upstream: choice, breaker }: UpstreamConfig): GuardedUpstream {
  const { log } = fastify
  const logUpstream = logBreaker(log, 'upstream')
  const guard = (client: UpstreamClient, timeoutMs: number) =>
    new GuardedUpstream(client, {
      timeoutMs,
      breaker: createBreaker(breaker.upstream, (isOpen) => {
        logUpstream(isOpen)
        publishBreaker('upstream', isOpen)
      }),
      logoutBreaker: createBreaker(breaker.upstream, (isOpen) => {
        if (isOpen) log.error('The upstream does not respond to logouts: until a probe succeeds, no logouts are sent')
        else log.info('The upstream responds to logouts again')
      })
    })
  if (choice.kind === 'custom') return guard(choice.client, choice.timeoutMs)
  const upstream = new HttpUpstream(choice.options, log)
  fastify.addHook('onClose', () => upstream.close())
  return guard(upstream, choice.options.timeoutMs)
}
