import t from 'tap'
import { SECRET } from '../fixtures/app.js'
import { rsaKeys } from '../fixtures/rsa-keys.js'
import { assertInvalid, encode, HEADER, openSession, payloadOf, seal, signed } from '../fixtures/tokens.js'
import { startUpstream } from '../fixtures/upstream.js'

t.test('a header that differs from the plugin’s header is refused also with a correct HMAC', async (t) => {
  const opened = await openSession(t)
  const headers: Record<string, string | Buffer> = {
    'members in another order': '{"typ":"at+jwt","alg":"HS256"}',
    'a space inside': '{"alg": "HS256","typ":"at+jwt"}',
    'a space in front': ` ${HEADER}`,
    'spaces in front, as many as leave the rest of the base64url the same': `   ${HEADER}`,
    'a space behind': `${HEADER} `,
    'spaces behind, likewise': `${HEADER}   `,
    'a line end behind': `${HEADER}\n`,
    'pretty-printed': JSON.stringify(JSON.parse(HEADER), null, 2),
    'a byte order mark': `\ufeff${HEADER}`,
    'UTF-16': Buffer.from(HEADER, 'utf16le'),
    'an escaped name': '{"\\u0061lg":"HS256","typ":"at+jwt"}',
    'an escaped value': '{"alg":"HS\\u003256","typ":"at+jwt"}',
    'an empty name': '{"alg":"HS256","typ":"at+jwt","":""}',
    'alg twice': '{"alg":"none","alg":"HS256","typ":"at+jwt"}',
    'alg twice, the other way round': '{"alg":"HS256","alg":"none","typ":"at+jwt"}',
    'typ twice': '{"alg":"HS256","typ":"JWT","typ":"at+jwt"}',
    'alg in small letters': '{"alg":"hs256","typ":"at+jwt"}',
    'alg missing': '{"typ":"at+jwt"}',
    'alg in __proto__': '{"__proto__":{"alg":"HS256"},"typ":"at+jwt"}',
    'alg as an array': '{"alg":["HS256"],"typ":"at+jwt"}',
    'typ missing': '{"alg":"HS256"}',
    'typ JWT': '{"alg":"HS256","typ":"JWT"}',
    'typ jwt': '{"alg":"HS256","typ":"jwt"}',
    'typ in capitals': '{"alg":"HS256","typ":"AT+JWT"}',
    'typ in mixed case': '{"alg":"HS256","typ":"at+JWT"}',
    'typ with the media type in full': '{"alg":"HS256","typ":"application/at+jwt"}',
    'typ with a space': '{"alg":"HS256","typ":"at+jwt "}',
    'typ with a space for the plus': '{"alg":"HS256","typ":"at jwt"}',
    'typ of a logout token': '{"alg":"HS256","typ":"logout+jwt"}',
    'typ empty': '{"alg":"HS256","typ":""}',
    'typ null': '{"alg":"HS256","typ":null}',
    'typ as an array': '{"alg":"HS256","typ":["at+jwt"]}',
    'Typ with a capital': '{"alg":"HS256","Typ":"at+jwt"}',
    'an array': '["HS256","at+jwt"]',
    'an array around it': `[${HEADER}]`,
    null: 'null',
    'a number': '1',
    'a string': JSON.stringify(HEADER),
    'an empty object': '{}',
    nothing: '',
    'half of it': HEADER.slice(0, 15),
    'itself twice': HEADER + HEADER,
    'no JSON': "{alg:'HS256',typ:'at+jwt'}",
    'a comma too many': '{"alg":"HS256","typ":"at+jwt",}',
    'a NUL behind': `${HEADER}\0`,
    'invalid UTF-8 behind': Buffer.concat([Buffer.from(HEADER), Buffer.from([0xff])]),
    'an overlong A': Buffer.concat([
      Buffer.from('{"'),
      Buffer.from([0xc1, 0xa1]),
      Buffer.from('lg":"HS256","typ":"at+jwt"}')
    ]),
    'deep nesting': `{"alg":"HS256","typ":"at+jwt","x":${'['.repeat(2_000)}${']'.repeat(2_000)}}`
  }
  const payload = payloadOf(opened.session)
  const tokens = Object.entries(headers).map(([name, header]) => [name, seal(header, payload)])
  await assertInvalid(t, opened, Object.fromEntries(tokens))
})

t.test('no further member of a header is accepted, chooses a key or causes a connection', async (t) => {
  const opened = await openSession(t)
  const payload = payloadOf(opened.session)
  const secret = 'the own key of an attacker, 32 bytes'
  const jwk = { kty: 'oct', alg: 'HS256', kid: 'own', k: encode(secret) }
  const { publicKey } = rsaKeys
  let requests = 0
  const { baseUrl } = await startUpstream(t, (_request, response) => {
    requests++
    response.end(JSON.stringify({ keys: [jwk] }))
  })
  const members: object[] = [
    ...['own', '', '0', '../../../dev/null', "' UNION SELECT '", '/proc/self/environ', baseUrl, SECRET].map((kid) => ({
      kid
    })),
    ...[{ kid: 0 }, { kid: null }, { kid: ['own'] }, { kid: { $ne: '' } }],
    ...[{ jku: `${baseUrl}/jwks.json` }, { jku: `${baseUrl}/jwks.json`, kid: 'own' }, { jku: [baseUrl] }, { jku: '' }],
    ...[{ jwk }, { jwk: publicKey.export({ format: 'jwk' }) }, { jwk: {} }, { jwk: null }],
    ...[
      { x5u: `${baseUrl}/cert.pem` },
      { x5c: [publicKey.export({ format: 'der', type: 'spki' }).toString('base64')] }
    ],
    ...[{ x5c: [] }, { x5t: 'AAAA' }, { 'x5t#S256': 'AAAA' }, { url: baseUrl }, { iss: baseUrl }],
    ...[[], [''], ['exp'], ['alg'], ['b64'], ['own'], [null], ['exp', 'exp'], 'exp', null, {}].map((crit) => ({
      crit
    })),
    ...[
      { crit: ['own'], own: true },
      { crit: ['b64'], b64: true },
      { crit: ['b64'], b64: false }
    ],
    ...[{ b64: true }, { b64: false }, { zip: 'DEF' }, { cty: 'JWT' }, { enc: 'A256GCM' }, { nonce: '1' }, { exp: 1 }]
  ]
  const tokens: Record<string, string> = {}
  for (const member of members) {
    const header = JSON.stringify({ ...JSON.parse(HEADER), ...member })
    Object.assign(tokens, {
      [`${header} with the HMAC of the secret`]: seal(header, payload),
      [`${header} with the HMAC of an own key`]: seal(header, payload, { secret }),
      [`${header} with the HMAC of an empty key`]: seal(header, payload, { secret: '' }),
      [`${header} with a payload that is not encoded`]: signed(`${encode(header)}.${payload}`)
    })
  }
  await assertInvalid(t, opened, tokens)
  t.equal(requests, 0)
  await fetch(baseUrl)
  t.equal(requests, 1, 'the counter counts requests')
})
