import { InvalidOptionError } from '../errors.js'
import { isPlainObject } from '../internal/json.js'
import type { FakeAnswer, FakeUpstreamCall, FakeUser } from './fake-upstream-types.js'

/** Fields by which a registration finds that a user exists. */
const NAMES = ['username', 'email'] as const

/** The users of a fake upstream. */
export class FakeUsers {
  readonly #users: Record<string, unknown>[]

  /** @throws {InvalidOptionError} */
  constructor(users: readonly FakeUser[] = []) {
    if (!Array.isArray(users)) throw new InvalidOptionError('users', 'must be an array')
    this.#users = users.map((user, index) => {
      const copy = isPlainObject(user) ? toUser(user) : null
      if (copy === null)
        throw new InvalidOptionError(`users[${index}]`, 'must have a `password`, and an `id` or a name')
      return copy
    })
  }

  answer({ operation, body }: Pick<FakeUpstreamCall, 'operation' | 'body'>): FakeAnswer {
    if (operation === 'logout') return { statusCode: 204 }
    const fields = isPlainObject(body) ? body : {}
    return operation === 'login' ? this.#logIn(fields) : this.#register(fields)
  }

  #logIn(body: Record<string, unknown>): FakeAnswer {
    const user = this.#users.find((user) => isMatch(user, body))
    return user === undefined ? { statusCode: 401 } : { statusCode: 200, user: withoutPassword(user) }
  }

  #register(body: Record<string, unknown>): FakeAnswer {
    const user = toUser(body)
    if (user === null) return { statusCode: 400 }
    const isTaken = NAMES.some((name) => name in body && this.#users.some((known) => known[name] === body[name]))
    if (isTaken) return { statusCode: 409 }
    this.#users.push(user)
    return { statusCode: 201, user: withoutPassword(user) }
  }
}

/** A copy with an id; null without a password or an id. */
function toUser(fields: Record<string, unknown>): Record<string, unknown> | null {
  const { password } = fields
  const id = fields.id ?? fields.username ?? fields.email
  return id === undefined || id === null || typeof password !== 'string' ? null : { ...fields, id }
}

function isMatch(user: Record<string, unknown>, body: Record<string, unknown>): boolean {
  const names = Object.keys(body).filter((name) => name !== 'password' && Object.hasOwn(user, name))
  return names.length > 0 && user.password === body.password && names.every((name) => user[name] === body[name])
}

function withoutPassword({ password, ...user }: Record<string, unknown>): object {
  return user
}
