import fastifyJwt from '@fastify/jwt'
import Fastify, { type FastifyInstance } from 'fastify'

/** Whose tokens the service takes. */
export interface Trust {
  /** The public key of the authenticator, as PEM: the service can sign nothing. */
  publicKey: string
  issuer: string
  /** The name of this service. */
  audience: string
}

/** Creates a server that knows nothing of sessions: `Session-Token` says who the user is, and no client can sign one. */
export async function createService({ publicKey, issuer, audience }: Trust): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(fastifyJwt, {
    secret: { public: publicKey },
    verify: {
      algorithms: ['EdDSA'],
      checkTyp: 'id+jwt',
      allowedIss: issuer,
      allowedAud: audience,
      // `allowedIss` and `allowedAud` accept a token without the claim.
      requiredClaims: ['iss', 'aud', 'sub', 'exp'],
      extractToken: ({ headers }) => headers['session-token']?.toString()
    }
  })
  // Some errors of a wrong token have no status.
  app.addHook('onRequest', (request, reply) =>
    request.jwtVerify().catch(() => reply.code(401).send({ message: 'No identity' }))
  )
  app.get('/me', async ({ user }) => {
    const { sub, name, email } = user as Record<string, unknown>
    return { id: sub, name, email }
  })
  return app
}
