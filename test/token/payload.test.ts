import t from 'tap'
import {
  assertAccepted,
  assertEnded,
  assertInvalid,
  HEADER,
  NOW,
  openSession,
  payloadOf,
  seal
} from '../fixtures/tokens.js'

t.test('a payload that is not one JSON object is refused also with a correct HMAC', async (t) => {
  const opened = await openSession(t)
  const good = payloadOf(opened.session)
  const payloads = [
    ...[
      '',
      ' ',
      'null',
      'true',
      'false',
      '0',
      '1',
      '-1',
      '1e999',
      'NaN',
      'undefined',
      '""',
      '"ada"',
      JSON.stringify(good),
      JSON.stringify(opened.token)
    ],
    ...['[]', '[[]]', `[${good}]`, `["sub","ada"]`, '{}', '[{}]', '{{}}'],
    ...[
      '{',
      '}',
      '{"',
      '{"sub"',
      '{"sub":',
      good.slice(0, -1),
      good.slice(1),
      `${good},`,
      `${good}}`,
      good + good,
      `${good}\n${good}`
    ],
    ...[
      `${good}x`,
      `x${good}`,
      `${good}\0`,
      `\0${good}`,
      `${good}//`,
      `/**/${good}`,
      `${good};`,
      `(${good})`,
      `\v${good}`,
      `\u00a0${good}`
    ],
    ...[
      good.replace('{', '{,'),
      good.replace('}', ',}'),
      good.replaceAll('"', "'"),
      good.replaceAll(':', '='),
      good.replaceAll(',', ';')
    ],
    ...[
      good.replace('"sub"', 'sub'),
      good.replace('1', '01'),
      good.replace('1', '+1'),
      good.replace('1', '0x1'),
      good.replace('ada', 'a\nda')
    ],
    ...[
      good.replace('ada', 'ada\\'),
      good.replace('ada', '\\x61da'),
      good.replace('ada', 'ada\\u00'),
      good.replace('ada', 'ada\u0000')
    ],
    ...['{"__proto__":{}}', `{"__proto__":${good}}`, `{"constructor":{"prototype":${good}}}`, `{"payload":${good}}`],
    ...['{"a":'.repeat(1_000), '['.repeat(3_000), `${'['.repeat(3_000)}${']'.repeat(2_999)}`, '1'.repeat(3_000)]
  ]
  const tokens = payloads.map((payload, n) => [`${n}: ${JSON.stringify(payload).slice(0, 60)}`, seal(HEADER, payload)])
  await assertInvalid(t, opened, Object.fromEntries(tokens))
})

t.test('a payload with invalid UTF-8 is refused, wherever the invalid bytes are', async (t) => {
  const opened = await openSession(t)
  const breaks: Record<string, number[]> = {
    'a lone 0xff': [0xff],
    'a lone 0xfe': [0xfe],
    'a continuation byte alone': [0x80],
    'a start of two alone': [0xc3],
    'a start of three, cut': [0xe2, 0x82],
    'a start of four, cut': [0xf0, 0x9f, 0x98],
    'Latin-1': [0xe9],
    'an overlong NUL': [0xc0, 0x80],
    'an overlong slash': [0xc0, 0xaf],
    'an overlong a': [0xc1, 0xa1],
    'an overlong a in three bytes': [0xe0, 0x81, 0xa1],
    'an overlong a in four bytes': [0xf0, 0x80, 0x81, 0xa1],
    'an encoded high surrogate': [0xed, 0xa0, 0x80],
    'an encoded low surrogate': [0xed, 0xbf, 0xbf],
    'CESU-8': [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80],
    'beyond Unicode': [0xf4, 0x90, 0x80, 0x80],
    'five bytes': [0xf8, 0x88, 0x80, 0x80, 0x80]
  }
  // The bytes replace "@" in the value and the name of an extra claim, and at the end of sub.
  const places = {
    'in a value': payloadOf(opened.session, { role: '"@"' }),
    'in a name': payloadOf(opened.session, { '@': '1' }),
    'in sub': payloadOf(opened.session, { sub: '"ada@"' })
  }
  const tokens: Record<string, string> = {}
  for (const [place, payload] of Object.entries(places)) {
    const [before = '', after = ''] = payload.split('@')
    const mended = payload.replace('@', place === 'in sub' ? '' : '\ufffd')
    assertAccepted(t, await opened.visit(seal(HEADER, mended)))
    for (const [name, bytes] of Object.entries(breaks)) {
      tokens[`${name} ${place}`] = seal(
        HEADER,
        Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)])
      )
    }
  }
  const good = payloadOf(opened.session)
  await assertInvalid(t, opened, {
    ...tokens,
    'a byte order mark': seal(HEADER, `\ufeff${good}`),
    'UTF-16': seal(HEADER, Buffer.from(good, 'utf16le')),
    'UTF-16 with its mark': seal(HEADER, Buffer.from(`\ufeff${good}`, 'utf16le')),
    'a broken byte behind': seal(HEADER, Buffer.concat([Buffer.from(good), Buffer.from([0xff])]))
  })
})

t.test('any JSON object with the correct claims is accepted, with any further members', async (t) => {
  const { visit, session } = await openSession(t)
  const good = payloadOf(session)
  const payloads = [
    JSON.stringify(JSON.parse(good), null, 2),
    ` \t\r\n${good}\n`,
    payloadOf(session, { role: '"caf\u00e9 \ud83d\ude00 \\ud800"' }),
    payloadOf(session, { deep: '['.repeat(2_000) + ']'.repeat(2_000) }),
    payloadOf(session, { deep: `${'{"a":'.repeat(900)}1${'}'.repeat(900)}` }),
    payloadOf(session, { big: '1e999', long: '1'.repeat(1_000) }),
    payloadOf(session, { alg: '"none"', typ: '"JWT"', kid: '"x"', crit: '["x"]' }),
    payloadOf(session, { iss: '["x"]', aud: '["x"]', toString: '1', hasOwnProperty: 'null', toJSON: '1' }),
    payloadOf(session, { constructor: '{"prototype":{"isAdmin":true}}' }),
    good.replace('{', '{"__proto__":{"sub":"eve","isAdmin":true},'),
    good.replace('{', '{"__proto__":null,')
  ]
  for (const payload of payloads) assertAccepted(t, await visit(seal(HEADER, payload)))
  t.equal(({} as { isAdmin?: boolean }).isAdmin, undefined, 'no prototype is polluted')
})

t.test('the last value of a repeated claim counts, as in JSON.parse()', async (t) => {
  const { visit, session } = await openSession(t)
  const good = payloadOf(session)
  const [first, last] = [
    (member: string) => good.replace('{', `{${member},`),
    (member: string) => good.replace(/\}$/, `,${member}}`)
  ]
  for (const member of ['"sub":"eve"', '"jti":"x"', '"exp":0', '"iat":null', '"\\u0073ub":"eve"']) {
    assertAccepted(t, await visit(seal(HEADER, first(member))))
  }
  assertEnded(t, await visit(seal(HEADER, last('"sub":"eve"'))), 'unknown')
  assertEnded(t, await visit(seal(HEADER, last('"\\u0073ub":"eve"'))), 'unknown')
  assertEnded(t, await visit(seal(HEADER, last('"jti":"x"'))), 'invalid_token')
  assertEnded(t, await visit(seal(HEADER, last('"iat":null'))), 'invalid_token')
  assertEnded(t, await visit(seal(HEADER, last(`"exp":${NOW + 1}`))), 'invalid_token')
  assertEnded(t, await visit(seal(HEADER, last('"exp":0'))), 'expired')
})
