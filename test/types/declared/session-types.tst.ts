import Fastify from 'fastify'
import { expect, test } from 'tstyche'
import { Type } from 'typebox'
import fastifyJwtSession, {
  type RequestSession,
  type Session,
  type SessionData,
  type Sessions,
  type User
} from '../../../lib/index.js'
import { loginAs } from '../../../lib/testing/index.js'

const userSchema = Type.Object({ id: Type.String(), name: Type.String(), email: Type.Optional(Type.String()) })
const otherSchema = Type.Object({ id: Type.String(), roles: Type.Array(Type.String()) })

declare module '../../../lib/index.js' {
  interface SessionTypes {
    userSchema: typeof userSchema
    data: { cart: string[]; step?: 1 | 2 }
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

test('the option `userSchema` must be the declared schema', () => {
  expect(app.register).type.toBeCallableWith(fastifyJwtSession, { ...required, userSchema })
  expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { ...required, userSchema: otherSchema })
})

test('the extra claims of a token are computed from the declared user', () => {
  const claims = (user: User) => ({ name: user.name })
  expect(app.register).type.toBeCallableWith(fastifyJwtSession, { ...required, jwt: { ...required.jwt, claims } })
})

test('data has the declared fields, all of them optional', () => {
  expect<SessionData>().type.toBe<{ cart?: string[]; step?: 1 | 2 }>()
  expect<Session['data']>().type.toBe<{ readonly cart?: string[]; readonly step?: 1 | 2 }>()
  app.get('/cart', { preHandler: app.verifySession }, async ({ session }) => {
    expect(session.data.cart).type.toBe<string[] | undefined>()
    expect(session.data).type.not.toHaveProperty('other')
  })
})

test('update() accepts declared fields, with undefined to remove a field, and no other fields', () => {
  for (const update of [app.sessions.update.bind(null, 'id'), (null as unknown as RequestSession).update]) {
    expect(update).type.toBeCallableWith({})
    expect(update).type.toBeCallableWith({ cart: ['a'] })
    expect(update).type.toBeCallableWith({ cart: undefined, step: 2 as const })
    expect(update).type.not.toBeCallableWith({ cart: 'a' })
    expect(update).type.not.toBeCallableWith({ cart: null })
    expect(update).type.not.toBeCallableWith({ step: 3 })
    expect(update).type.not.toBeCallableWith({ other: 1 })
    expect(update({})).type.toBe<Promise<Session | null>>()
  }
})

test('find() and list() return the declared user and data', () => {
  expect<Awaited<ReturnType<Sessions['list']>>[number]['user']['name']>().type.toBe<string>()
  expect<NonNullable<Awaited<ReturnType<Sessions['find']>>>['data']['step']>().type.toBe<1 | 2 | undefined>()
})

test('a test logs in a user of that schema, with that data', () => {
  const user = { id: '1', name: 'Ada' }
  expect(loginAs).type.toBeCallableWith(app, user, { data: { step: 1 as const } })
  expect(loginAs).type.not.toBeCallableWith(app, { id: '1' })
  expect(loginAs).type.not.toBeCallableWith(app, user, { data: { step: 3 } })
})
