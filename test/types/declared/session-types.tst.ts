import Fastify from 'fastify'
import { expect, test } from 'tstyche'
import { Type } from 'typebox'
import fastifyJwtSession, { type Sessions, type User } from '../../../lib/index.js'

const userSchema = Type.Object({ id: Type.String(), name: Type.String(), email: Type.Optional(Type.String()) })
const otherSchema = Type.Object({ id: Type.String(), roles: Type.Array(Type.String()) })

declare module '../../../lib/index.js' {
  interface SessionTypes {
    userSchema: typeof userSchema
  }
}

const app = Fastify()
const required = { jwt: { secret: 'x'.repeat(32) }, upstream: { baseUrl: 'https://api.internal.example' } }

test('the user has the type of the declared schema, without a cast', () => {
  app.get('/me', { preHandler: app.verifySession }, async ({ session }) => {
    expect(session.user.id).type.toBe<string>()
    expect(session.user.name).type.toBe<string>()
    expect(session.user.email).type.toBe<string | undefined>()
    expect(session.user).type.not.toHaveProperty('roles')
  })
  expect<Parameters<Sessions['create']>[0]>().type.toBe<User>()
  expect<Sessions['create']>().type.not.toBeCallableWith({ id: '1' })
})

test('the option must be the schema that was declared', () => {
  expect(app.register).type.toBeCallableWith(fastifyJwtSession, { ...required, userSchema })
  expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { ...required, userSchema: otherSchema })
})

test('the extra claims of a token are made of that user', () => {
  const claims = (user: User) => ({ name: user.name })
  expect(app.register).type.toBeCallableWith(fastifyJwtSession, { ...required, jwt: { ...required.jwt, claims } })
})
