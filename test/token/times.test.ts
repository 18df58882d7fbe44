import t, { type Test } from 'tap'
import { createMemoryStore } from '../../lib/index.js'
import { logout, SECRET, withToken } from '../fixtures/app.js'
import {
  assertAccepted,
  assertEnded,
  assertInvalid,
  createGuardedApp,
  freezeClock,
  HEADER,
  NOW,
  openSession,
  payloadOf,
  type RawClaims,
  seal,
  TTL,
  tokensOf
} from '../fixtures/tokens.js'

const ISSUER = 'https://issuer.example'

/** JSON values that are not finite numbers, but may be coerced to numbers. */
function notNumbers(like: number): Record<string, string> {
  return {
    null: 'null',
    true: 'true',
    false: 'false',
    'a numeric string': `"${like}"`,
    'an empty string': '""',
    'an ISO date': JSON.stringify(new Date(like * 1_000).toISOString()),
    'a duration': '"12h"',
    'the word NaN': '"NaN"',
    'the word Infinity': '"Infinity"',
    'more than a double holds': '1e999',
    'less than a double holds': '-1e999',
    'an array of it': `[${like}]`,
    'an empty array': '[]',
    'an object': '{}',
    'an object with valueOf': `{"valueOf":${like}}`,
    'a boxed number': `{"$numberLong":"${like}"}`
  }
}

t.test('a time that is missing or not a finite number is refused', async (t) => {
  const opened = await openSession(t)
  const changes: Record<string, RawClaims> = {
    'no exp': { exp: undefined },
    'no iat': { iat: undefined },
    'neither exp nor iat': { exp: undefined, iat: undefined },
    'EXP in capitals': { exp: undefined, EXP: `${NOW + TTL}` },
    'IAT in capitals': { iat: undefined, IAT: `${NOW}` },
    'the times in another object': { exp: undefined, iat: undefined, claims: `{"exp":${NOW + TTL},"iat":${NOW}}` }
  }
  for (const [claim, like] of Object.entries({ exp: NOW + TTL, iat: NOW, nbf: NOW })) {
    for (const [name, json] of Object.entries(notNumbers(like))) changes[`${claim}: ${name}`] = { [claim]: json }
  }
  await assertInvalid(t, opened, tokensOf(opened.session, changes))
})

t.test('a token with `nbf` in the future is refused', async (t) => {
  const opened = await openSession(t)
  await assertInvalid(
    t,
    opened,
    tokensOf(opened.session, {
      'not valid for another second': { nbf: `${NOW + 1}` },
      'not valid for another moment': { nbf: `${NOW}.001` },
      'not valid for another 29 s': { nbf: `${NOW + 29}` },
      'not valid before milliseconds taken for seconds': { nbf: `${NOW * 1_000}` },
      'not valid before the end of time': { nbf: '1e300' }
    })
  )
})

t.test('valid times are accepted', async (t) => {
  const { visit, session } = await openSession(t)
  const changes: Record<string, RawClaims> = {
    'issued ahead: the clock of another instance is': { iat: `${NOW + 31}` },
    'issued a day ahead': { iat: `${NOW + 86_400}` },
    'issued at the end of time': { iat: '1e300' },
    'issued long ago': { iat: `${NOW - TTL + 1}` },
    'issued at 0': { iat: '0' },
    'issued before 1970': { iat: '-1' },
    'an iat with a fraction': { iat: `${NOW}.25` },
    'times with exponents': { iat: '19e8', exp: `${(NOW + TTL) / 1e5}e5` },
    'valid from now': { nbf: `${NOW}` },
    'valid since long ago': { nbf: '0' },
    'valid since before 1970': { nbf: '-1' }
  }
  for (const token of Object.values(tokensOf(session, changes))) assertAccepted(t, await visit(token))
})

t.test('an exp that is not the absolute expiry of the session, to the second, is refused', async (t) => {
  const { visit, session, token } = await openSession(t)
  const exps = {
    'a second earlier': `${NOW + TTL - 1}`,
    'a second later': `${NOW + TTL + 1}`,
    'a moment later': `${NOW + TTL}.001`,
    'soon over': `${NOW + 1}`,
    'in milliseconds': `${(NOW + TTL) * 1_000}`,
    'at the end of time': '1e300'
  }
  for (const [name, exp] of Object.entries(exps)) {
    const result = await visit(seal(HEADER, payloadOf(session, { exp })))
    assertEnded(t, result, 'invalid_token')
    t.strictSame(result.storeCalls, [`find ${session.id}`], name)
  }
  assertAccepted(t, await visit(token))
})

t.test('a token expires at `exp`, and the store is not called', async (t) => {
  const { clock, visit, session } = await openSession(t, { session: { ttlSeconds: TTL, idleTimeoutSeconds: false } })
  const token = seal(HEADER, payloadOf(session))
  for (const [now, isOver] of [
    [NOW + TTL - 1, false],
    [NOW + TTL - 0.001, false],
    [NOW + TTL, true],
    [NOW + TTL + 0.001, true],
    [NOW + TTL + 30, true]
  ] as const) {
    clock.now = now
    const result = await visit(token)
    if (!isOver) assertAccepted(t, result)
    else {
      assertEnded(t, result, 'expired')
      t.strictSame(result.storeCalls, [])
    }
  }
})

t.test('a changed ttlSeconds applies only to new sessions, so that a rolling deploy logs no user out', async (t) => {
  const { app, store, token, session } = await openWithStore(t, TTL)
  for (const ttlSeconds of [TTL / 2, 2 * TTL]) {
    const next = await createGuardedApp(t, { store, session: { ttlSeconds } })
    assertAccepted(t, await next.visit(token))
    t.strictSame((await next.app.sessions.find(session.id))?.expiresAt, (NOW + TTL) * 1_000)
    const { token: longer } = await next.app.sessions.create({ id: 'ada' })
    t.equal(
      (await app.inject(withToken(longer))).statusCode,
      200,
      'an instance with the old option accepts the new token'
    )
  }
})

async function openWithStore(t: Test, ttlSeconds: number) {
  freezeClock(t)
  const store = createMemoryStore()
  t.teardown(() => store.close())
  const { app } = await createGuardedApp(t, { store, session: { ttlSeconds } })
  return { app, store, ...(await app.sessions.create({ id: 'ada' })) }
}

t.test('a logout ends the session of a signed token, whatever times the token has', async (t) => {
  const times: Record<string, RawClaims> = {
    'not valid yet': { nbf: `${NOW + 60}` },
    'not valid for ever': { nbf: '1e300' },
    expired: { exp: `${NOW - 1}` },
    'of another expiry': { exp: `${NOW + 1}` },
    'issued in the future': { iat: `${NOW + 3_600}` }
  }
  for (const [name, claims] of Object.entries(times)) {
    const { app, visit, session, token } = await openSession(t)
    const answer = await app.inject(logout(seal(HEADER, payloadOf(session, claims))))
    t.equal(answer.statusCode, 204)
    assertEnded(t, await visit(token), 'logged_out')
    t.pass(name)
  }
})

t.test('a session and the token expire in the same millisecond', async (t) => {
  for (const start of [NOW, NOW + 0.001, NOW + 0.5, NOW + 0.999]) {
    const { clock, app, visit } = await openSession(t, { session: { ttlSeconds: TTL, idleTimeoutSeconds: false } })
    clock.now = start
    const { token } = await app.sessions.create({ id: 'ada' })
    assertAccepted(t, await visit(token))
    clock.now = (Math.round(start * 1_000) - 1) / 1_000 + TTL
    assertAccepted(t, await visit(token))
    for (const late of [0, 0.001, 0.5, 1, 60, TTL]) {
      clock.now = start + TTL + late
      assertEnded(t, await visit(token), 'expired')
    }
  }
})

t.test('a token whose `exp` was never in the future is expired', async (t) => {
  const { visit, session } = await openSession(t)
  const changes = {
    now: `${NOW}`,
    '0': '0',
    '-0': '-0',
    '-1': '-1',
    'nearly 0': '1e-999',
    'before the beginning': '-1e300'
  }
  for (const exp of Object.values(changes)) {
    assertEnded(t, await visit(seal(HEADER, payloadOf(session, { exp }))), 'expired')
  }
})

t.test('only an otherwise valid token gets the reason `expired`', async (t) => {
  const opened = await openSession(t, { jwt: { secret: SECRET, issuer: ISSUER } })
  const { session, visit } = opened
  const common = { exp: `${NOW - 1}`, iat: `${NOW - 60}`, iss: JSON.stringify(ISSUER) }
  const expired = seal(HEADER, payloadOf(session, common))
  assertEnded(t, await visit(expired), 'expired')
  await assertInvalid(t, opened, {
    'another signature': seal(HEADER, payloadOf(session, common), { secret: `${SECRET}.` }),
    'another header': seal('{"alg":"HS256","typ":"JWT"}', payloadOf(session, common)),
    'no signature': expired.slice(0, expired.lastIndexOf('.') + 1),
    ...tokensOf(
      session,
      {
        'another issuer': { iss: '"https://evil.example"' },
        'no issuer': { iss: undefined },
        'a malformed jti': { jti: '"x"' },
        'no sub': { sub: undefined },
        'no iat': { iat: undefined },
        'not valid yet': { nbf: `${NOW + 1}` }
      },
      common
    )
  })
})
