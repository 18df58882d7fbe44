import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { exposeDate } from '../http/error-reply.js'
import type { EventStreams } from '../http/event-streams.js'
import { errorResponses } from '../http/schemas.js'
import type { Session } from '../model/session.js'
import type { Route } from '../options/resolve-routes.js'
import { expiryOf } from './current-session.js'
import type { RouteDeps } from './route-deps.js'

/** Clients connect again after a second. */
const RETRY = 'retry: 1000\n'

/** Dependencies of {@link mountEvents}. */
interface EventsDeps extends RouteDeps {
  streams: EventStreams
}

/**
 * `GET /user/session/events`: a stream of server-sent events with the expiry of the session, and with the end. The
 * request does not extend the session.
 */
export function mountEvents(scope: FastifyInstance, { path, config }: Route, deps: EventsDeps): void {
  const { options, streams, watched, lifetimes, verifySession } = deps
  scope.addHook('preClose', async () => streams.end())

  const content = { 'text/event-stream': { schema: Type.String() } }
  const ok = { description: 'Events: `session` with the expiry, `ended` with the reason', content }
  const response = { 200: ok, ...errorResponses(401, 429, 503) }
  const schema = { summary: 'Changes and the end of my session', response, ...options.routes.security }

  const route = { schema, config, exposeHeadRoute: false, preHandler: verifySession, onSend: setStreamHeaders }
  scope.get(path, route, async ({ session }, reply) => {
    const stream = streams.open(session.user.id, () => stop())
    // A hook of the host may send another reply than the stream.
    reply.raw.once('close', () => stream.destroy())
    let sent = ''
    const sendExpiry = (state: Session) => {
      const expiry = JSON.stringify(expiryOf(state, lifetimes))
      if (expiry !== sent) stream.send('session', expiry)
      sent = expiry
    }
    stream.write(RETRY)
    sendExpiry(session)
    const stop = watched.watch(session, (event) => {
      if ('session' in event) return sendExpiry(event.session)
      stream.send('ended', JSON.stringify({ reason: event.ended }))
      stream.finish()
    })
    exposeDate(reply)
    return reply.code(200).type(EVENT_STREAM).send(stream)
  })
}

const EVENT_STREAM = 'text/event-stream'

/** After the hooks of the scope, which set headers for replies that are no stream. */
async function setStreamHeaders({ raw }: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (reply.getHeader('content-type') !== EVENT_STREAM) return
  // nginx buffers a stream without the second header.
  reply.headers({ 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' })
  // The connection must not outlive the stream: close() of the app would wait a minute for a browser.
  if (raw.httpVersionMajor === 1) reply.header('connection', 'close')
}
