import { inspect } from 'node:util'
import Fastify from 'fastify'
import t from 'tap'
import * as lib from '../../lib/index.js'
import { createFaults } from '../fixtures/faults.js'
import { createLog } from '../fixtures/log.js'
import { PASSWORD, SECRET } from '../fixtures/planted-secrets.js'

const SECRETS = [PASSWORD, SECRET, 'users.internal', '10.1.2.3', 'fjs:{tag}', '/etc/app', 'eyJhbGciOi']
const everything = SECRETS.join(' ')

/** Errors of other libraries, and errors of unusual shapes. */
const CAUSES: Record<string, unknown> = {
  'of ioredis': Object.assign(new Error(`READONLY ${everything}`), {
    name: 'ReplyError',
    command: { name: 'evalsha', args: SECRETS }
  }),
  'of undici': Object.assign(new Error(`connect ECONNREFUSED ${everything}`), {
    code: 'ECONNREFUSED',
    address: '10.1.2.3',
    socket: { remoteAddress: '10.1.2.3' },
    body: everything
  }),
  'of several': new AggregateError([new Error(everything)], everything, { cause: new Error(everything) }),
  'with secrets for a name and a code': Object.assign(new Error(everything), { name: everything, code: everything }),
  'with a text for a stack': Object.assign(new Error('x'), { stack: everything }),
  'with methods that return secrets': Object.assign(new Error('x'), {
    toJSON: () => everything,
    toString: () => everything,
    [inspect.custom]: () => everything
  }),
  'that is a text': everything,
  'that is an object': {
    message: everything,
    name: everything,
    code: everything,
    headers: { authorization: everything }
  },
  'that is null': null,
  'of ours, with one of another': new lib.UpstreamInvalidError(new Error(everything))
}

type Make = (cause: unknown) => Error

/** Makes each error; the test sets a cause also where the constructor takes no cause. */
const ERRORS: Record<string, Make> = {
  InvalidOptionError: (cause) => new lib.InvalidOptionError('redis.url', 'must be a URL', cause),
  AlreadyDecoratedError: () => new lib.AlreadyDecoratedError('app.sessions'),
  NotRegisteredError: () => new lib.NotRegisteredError(),
  InvalidUserError: () => new lib.InvalidUserError(),
  InvalidDataError: () => new lib.InvalidDataError(4_096),
  InvalidClaimsError: (cause) => new lib.InvalidClaimsError(cause),
  InvalidBodyError: () => new lib.InvalidBodyError('FST_ERR_VALIDATION', 400),
  InvalidQueryError: () => new lib.InvalidQueryError('must be a boolean'),
  InvalidAnswerError: () => new lib.InvalidAnswerError('a status from 400 to 599'),
  ClientGoneError: () => new lib.ClientGoneError(),
  LoginNeededError: () => new lib.LoginNeededError(),
  CrossSiteError: () => new lib.CrossSiteError(),
  EventsFullError: () => new lib.EventsFullError(503),
  SessionMissingError: () => new lib.SessionMissingError(),
  SessionEndedError: () => new lib.SessionEndedError('expired'),
  SessionNotFreshError: () => new lib.SessionNotFreshError(300),
  SessionLimitReachedError: () => new lib.SessionLimitReachedError(),
  SessionNotFoundError: () => new lib.SessionNotFoundError(),
  CredentialsRejectedError: (cause) => new lib.CredentialsRejectedError(cause),
  RegistrationRejectedError: () => new lib.RegistrationRejectedError(409),
  UpstreamBusyError: () => new lib.UpstreamBusyError(everything),
  UpstreamInvalidError: (cause) => new lib.UpstreamInvalidError(cause),
  UpstreamUnavailableError: (cause) => new lib.UpstreamUnavailableError(cause),
  UpstreamTimeoutError: () => new lib.UpstreamTimeoutError(),
  StoreUnavailableError: (cause) => new lib.StoreUnavailableError(cause),
  'StoreUnavailableError at the start': (cause) => new lib.StoreUnavailableError(cause, { address: undefined })
}

/** An error as applications, loggers and consoles serialize errors. */
function serialize(error: Error): Record<string, string> {
  const { lines, logger } = createLog()
  const { log } = Fastify({ logger })
  log.error(error)
  log.error({ err: error, error, nested: { error } }, 'failed')
  return {
    'JSON.stringify': JSON.stringify([error, { error, cause: error.cause }]),
    'util.inspect': inspect({ error }, { depth: null, showHidden: true, getters: true }),
    String: `${error} ${error.message} ${error.stack}`,
    'the logger': lines.join('\n'),
    'its own properties': JSON.stringify(Object.getOwnPropertyNames(error).map((key) => Reflect.get(error, key)))
  }
}

t.test('every exported error class is tested here', async (t) => {
  const exported = Object.entries(lib).filter(([, value]) => isErrorClass(value))
  const abstract = ['JwtSessionError', 'UpstreamError']
  const names = exported.map(([name]) => name).filter((name) => !abstract.includes(name))
  t.strictSame(
    names.sort(),
    Object.keys(ERRORS)
      .filter((name) => !name.includes(' '))
      .sort()
  )
})

function isErrorClass(value: unknown): boolean {
  return typeof value === 'function' && value.prototype instanceof Error
}

for (const [name, make] of Object.entries(ERRORS)) {
  t.test(`no serialization of ${name} has details of the cause`, async (t) => {
    const faults = createFaults()
    for (const [kind, cause] of Object.entries(CAUSES)) {
      const error = make(cause)
      for (const [way, text] of Object.entries(serialize(error))) {
        const leaked = SECRETS.filter((secret) => text.includes(secret))
        const [trace] = /\n +at |\\n +at |node_modules/.exec(text) ?? []
        faults.compare(`${kind}, ${way}`, { leaked, trace }, { leaked: [], trace: undefined })
      }
    }
    faults.assertNone(t)
  })
}
