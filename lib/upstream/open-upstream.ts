import type { FastifyInstance } from 'fastify'
import type { UpstreamChoice } from '../options/resolve-options.js'
import { createHttpUpstream } from './http-upstream.js'
import type { UpstreamClient } from './upstream-client.js'

/** The upstream that the options ask for. A pool that is opened here is closed with the app. */
export function openUpstream(fastify: FastifyInstance, choice: UpstreamChoice): UpstreamClient {
  if (choice.kind === 'custom') return choice.client
  const upstream = createHttpUpstream(choice.options)
  fastify.addHook('onClose', () => upstream.close())
  return upstream
}
