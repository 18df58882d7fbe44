// A project with @fastify/session in a scope and fastify-jwt-session in another scope.
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import Fastify from 'fastify'
import fastifyJwtSession, { type RequestSession, verifySession } from 'fastify-jwt-session'

declare module 'fastify-jwt-session' {
  interface SessionTypes {
    requestSession: false
  }
}

const app = Fastify()
await app.register(async (pages) => {
  await pages.register(fastifyCookie)
  await pages.register(fastifySession, { secret: 'a secret of this test, 32 bytes or more' })
  pages.get('/page', async ({ session }) => session.sessionId)
})
await app.register(async (api) => {
  await api.register(fastifyJwtSession, {
    jwt: { secret: 'a secret of this test, 32 bytes or more' },
    upstream: { baseUrl: 'https://api.internal.example' }
  })
  api.get('/me', { preHandler: verifySession }, async (request) => {
    const session = request.getDecorator<RequestSession>('session')
    return session.user.id
  })
})
