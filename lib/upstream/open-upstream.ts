import type { FastifyInstance } from 'fastify'
import { createBreaker, logBreaker } from '../internal/circuit-breaker.js'
import type { ResolvedOptions } from '../options/resolve-options.js'
import { createGuardedUpstream } from './guarded-upstream.js'
import { createHttpUpstream } from './http-upstream.js'
import type { UpstreamClient } from './upstream-client.js'

/** The upstream that the options ask for, behind its breaker. A pool that is opened here is closed with the app. */
export function openUpstream(
  fastify: FastifyInstance,
  { upstream: choice, breaker }: Pick<ResolvedOptions, 'upstream' | 'breaker'>
): UpstreamClient {
  const guard = (client: UpstreamClient) =>
    createGuardedUpstream(client, createBreaker(breaker.upstream, logBreaker(fastify.log, 'upstream')))
  if (choice.kind === 'custom') return guard(choice.client)
  const upstream = createHttpUpstream(choice.options)
  fastify.addHook('onClose', () => upstream.close())
  return guard(upstream)
}
