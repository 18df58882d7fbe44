import t from 'tap'
import { SECRET } from '../fixtures/app.js'
import {
  assertAccepted,
  assertEnded,
  assertInvalid,
  createRecordingStore,
  HEADER,
  openSession,
  payloadOf,
  type RawClaims,
  seal,
  tokensOf
} from '../fixtures/tokens.js'

const ISSUER = 'https://issuer.example'
const AUDIENCE = 'https://api.example'

t.test('a sub or jti that is missing or malformed never reaches the store', async (t) => {
  const opened = await openSession(t)
  const { id } = opened.session
  const changes: Record<string, RawClaims> = {
    'no sub': { sub: undefined },
    'no jti': { jti: undefined },
    'nothing at all': { sub: undefined, jti: undefined, iat: undefined, exp: undefined },
    'Sub with a capital': { sub: undefined, Sub: '"ada"' },
    'id instead of jti': { jti: undefined, id: `"${id}"` },
    'sub of 257 characters': { sub: JSON.stringify('x'.repeat(257)) },
    'sub with half a surrogate pair': { sub: '"ada\\ud800"' },
    'sub with a surrogate pair the wrong way round': { sub: '"\\udc00\\ud800"' }
  }
  for (const [name, json] of Object.entries({
    null: 'null',
    true: 'true',
    'a number': '1',
    'an empty string': '""',
    '{}': '{}',
    '[]': '[]'
  })) {
    changes[`sub: ${name}`] = { sub: json }
    changes[`jti: ${name}`] = { jti: json }
  }
  changes['sub: an array of it'] = { sub: '["ada"]' }
  changes['sub: an object around it'] = { sub: '{"id":"ada"}' }
  changes['sub: a query'] = { sub: '{"$ne":null}' }
  changes['jti: an array of it'] = { jti: `["${id}"]` }
  changes['jti: an object with toString'] = { jti: `{"toString":"${id}"}` }
  const malformed = [
    ...[
      id.slice(1),
      `${id}A`,
      ` ${id.slice(1)}`,
      `${id.slice(1)} `,
      `${id}\n`,
      `\n${id}`,
      `${id}\0`,
      `${id}\r\n`,
      `${id}=`,
      id + id
    ],
    ...[
      '*',
      ':',
      '{',
      '}',
      '/',
      '+',
      '=',
      '.',
      '%',
      '?',
      '[',
      '\\',
      '\0',
      '\n',
      '\r',
      ' ',
      '\u00e9',
      '\u0131',
      '\ud83d\ude00'
    ].map((character) => id.slice(0, 15) + character + id.slice(15 + character.length)),
    ...['__proto__', 'constructor', 'undefined', '../../etc/passwd', `fjs:${id}`, '*'.repeat(38), '\uff21'.repeat(38)],
    '3f2504e0-4f89-41d3-9a0c-0305e82c3301'
  ]
  for (const jti of malformed) changes[`jti: ${JSON.stringify(jti)}`] = { jti: JSON.stringify(jti) }
  await assertInvalid(t, opened, tokensOf(opened.session, changes))
})

t.test('app.sessions passes no malformed id to the store', async (t) => {
  const store = createRecordingStore(t)
  const { app, session } = await openSession(t, { store })
  store.calls.length = 0
  for (const id of [
    '',
    '*',
    session.id.slice(1),
    `${session.id}A`,
    `${session.id}\n`,
    [session.id],
    null,
    {}
  ] as string[]) {
    t.equal(await app.sessions.find(id), null)
    await app.sessions.revoke(id)
  }
  t.strictSame(store.calls, [])
})

t.test('a token with an unknown session, or a session of another user, is refused as unknown', async (t) => {
  const { app, visit, session } = await openSession(t)
  const { session: other } = await app.sessions.create({ id: 'eve' })
  const subs = [
    'eve',
    'Ada',
    'ADA',
    'ada ',
    ' ada',
    'ad',
    'adaa',
    'ada\0',
    '\u0430da',
    'a\u0301da',
    '\ufeffada',
    '*',
    'undefined',
    'null'
  ]
  const changes: RawClaims[] = [
    ...subs.map((sub) => ({ sub: JSON.stringify(sub) })),
    { sub: JSON.stringify('x'.repeat(256)) },
    { jti: `"${other.id}"` },
    ...['A'.repeat(38), '-'.repeat(38), session.id.toLowerCase(), [...session.id].reverse().join('')].map((jti) => ({
      jti: `"${jti}"`
    }))
  ]
  for (const change of changes) {
    const token = seal(HEADER, payloadOf(session, change))
    const result = await visit(token)
    assertEnded(t, result, 'unknown')
    t.strictSame(result.storeCalls, [`find ${JSON.parse(change.jti ?? `"${session.id}"`)}`])
  }
  assertAccepted(t, await visit(seal(HEADER, payloadOf(session, { sub: '"\\u0061d\\u0061"' }))))
})

t.test('issuer and audience are compared exactly when they are configured', async (t) => {
  const opened = await openSession(t, { jwt: { secret: SECRET, issuer: ISSUER, audience: AUDIENCE } })
  const common = { iss: JSON.stringify(ISSUER), aud: JSON.stringify(AUDIENCE) }
  assertAccepted(t, await opened.visit(seal(HEADER, payloadOf(opened.session, common))))
  const changes: Record<string, RawClaims> = {
    'issuer and audience exchanged': { iss: common.aud, aud: common.iss },
    neither: { iss: undefined, aud: undefined }
  }
  for (const [claim, value] of Object.entries({ iss: ISSUER, aud: AUDIENCE })) {
    const spoilt = [
      undefined,
      ...[
        null,
        true,
        0,
        '',
        {},
        [],
        [value],
        [value, value],
        ['https://evil.example', value],
        [[value]],
        { 0: value, length: 1 }
      ],
      ...[
        value.slice(0, -1),
        value.slice(1),
        `${value}/`,
        `${value} `,
        ` ${value}`,
        `${value}\0`,
        `${value},x`,
        `x ${value}`
      ],
      ...[
        value.toUpperCase(),
        value.replace('https', 'http'),
        value.replace('.', '\u3002'),
        '*',
        'https://evil.example',
        '.*'
      ]
    ].map((other) => (other === undefined ? undefined : JSON.stringify(other)))
    for (const json of spoilt) changes[`${claim}: ${json}`] = { [claim]: json }
  }
  await assertInvalid(t, opened, tokensOf(opened.session, changes, common))
})
