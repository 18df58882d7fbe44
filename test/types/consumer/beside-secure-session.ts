// A project with @fastify/secure-session in a scope and fastify-jwt-session in another scope.
import fastifySecureSession from '@fastify/secure-session'
import Fastify from 'fastify'
import fastifyJwtSession, { type RequestSession, verifySession } from 'fastify-jwt-session'

declare module 'fastify-jwt-session' {
  interface SessionTypes {
    requestSession: false
  }
}

const app = Fastify()
await app.register(async (pages) => {
  await pages.register(fastifySecureSession, { key: Buffer.alloc(32) })
  pages.get('/page', async ({ session }) => session.get('page'))
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
