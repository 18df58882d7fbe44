import t from 'tap'
import {
  assertAccepted,
  assertInvalid,
  encode,
  HEADER,
  mac,
  openSession,
  payloadOf,
  seal,
  signed
} from '../fixtures/tokens.js'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Other spellings of the same bytes for a lenient decoder: the spellings differ in unused bits. */
function strayBitSpellings(segment: string): string[] {
  const strayBits = { 2: 4, 3: 2 }[segment.length % 4] ?? 0
  const last = ALPHABET.indexOf(segment.at(-1) ?? '')
  const first = (last >> strayBits) << strayBits
  const spellings = [...ALPHABET.slice(first, first + (1 << strayBits))].map((end) => segment.slice(0, -1) + end)
  return spellings.filter((spelling) => spelling !== segment)
}

function toStandardAlphabet(segment: string): string {
  return segment.replaceAll('-', '+').replaceAll('_', '/')
}

t.test('a last character with stray bits is refused in every segment', async (t) => {
  const opened = await openSession(t)
  const { session, visit } = opened
  for (const filling of ['', 'x', 'xx']) {
    const payload = encode(payloadOf(session, { filling: JSON.stringify(filling) }))
    const header = encode(HEADER)
    const input = `${header}.${payload}`
    assertAccepted(t, await visit(signed(input)))
    const signatures = strayBitSpellings(mac(input))
    t.equal(signatures.length, 3)
    const payloads = strayBitSpellings(payload)
    t.equal(payloads.length, { 0: 0, 2: 15, 3: 3 }[payload.length % 4], `a payload of ${payload.length} characters`)
    const headers = strayBitSpellings(encode(HEADER + ' '.repeat(filling.length)))
    await assertInvalid(t, opened, {
      ...Object.fromEntries(signatures.map((signature) => [`signature ${signature}`, `${input}.${signature}`])),
      ...Object.fromEntries(payloads.map((stray) => [`payload ${stray}`, signed(`${header}.${stray}`)])),
      ...Object.fromEntries(payloads.map((stray) => [`reread payload ${stray}`, `${header}.${stray}.${mac(input)}`])),
      ...Object.fromEntries(headers.map((stray) => [`header ${stray}`, signed(`${stray}.${payload}`)]))
    })
  }
})

t.test('a segment that is not strict base64url is refused also with a correct HMAC', async (t) => {
  const opened = await openSession(t)
  const { session, token, visit } = opened
  const header = encode(HEADER)
  const signature = token.split('.')[2] ?? ''
  const payload = ['', 'x', 'xx']
    .map((filling) => encode(payloadOf(session, { filling: JSON.stringify(`???>>>${filling}`) })))
    .find((candidate) => candidate.length % 4 === 0)
  if (payload === undefined) throw new Error('None of three lengths in a row is a multiple of four')
  assertAccepted(t, await visit(signed(`${header}.${payload}`)))
  t.not(toStandardAlphabet(payload), payload)

  const half = payload.length / 2
  const inserted = [
    '=',
    '==',
    '+',
    '/',
    ' ',
    '  ',
    '\t',
    '\v',
    '\f',
    '\u00a0',
    '\u0085',
    ',',
    ';',
    ':',
    '!',
    '*',
    '~',
    '%',
    '%2e'
  ]
  const others = ['"', "'", '\\', '$', '\u00b5', '\u00ff', '\u0000', '\u007f', '\u00ad']
  const spoilt: Record<string, string> = {
    'the standard alphabet': toStandardAlphabet(payload),
    'the JSON itself': payloadOf(session),
    'percent-encoded JSON': encodeURIComponent(payloadOf(session)),
    hexadecimal: Buffer.from(payloadOf(session)).toString('hex'),
    'encoded twice': encode(payload),
    'a single character over': `${payload}A`,
    'a group too short': payload.slice(0, -3)
  }
  for (const text of [...inserted, ...others]) {
    spoilt[`${JSON.stringify(text)} in the middle`] = payload.slice(0, half) + text + payload.slice(half)
    spoilt[`${JSON.stringify(text)} at the end`] = payload + text
    // No text is put in front of the header: a leading space belongs to the scheme.
    spoilt[`${JSON.stringify(text)} in front`] = text + payload
  }
  const tokens: Record<string, string> = {}
  for (const [name, wrong] of Object.entries(spoilt)) {
    tokens[`a payload with ${name}`] = signed(`${header}.${wrong}`)
    tokens[`a payload with ${name}, signed before`] = `${header}.${wrong}.${mac(`${header}.${payload}`)}`
  }
  for (const text of [...inserted, ...others]) {
    const name = JSON.stringify(text)
    const input = `${header}.${payload}`
    Object.assign(tokens, {
      [`a header with ${name} at its end`]: signed(`${header}${text}.${payload}`),
      [`a header with ${name} inside`]: signed(`${header.slice(0, 8)}${text}${header.slice(8)}.${payload}`),
      [`a signature with ${name} at its end`]: `${input}.${mac(input)}${text}`,
      [`a signature with ${name} in front`]: `${input}.${text}${mac(input)}`,
      [`a signature with ${name} instead of its end`]: `${input}.${mac(input).slice(0, -text.length)}${text}`,
      [`a token of the plugin with ${name} behind`]: `${token}${text}`
    })
  }
  await assertInvalid(t, opened, {
    ...tokens,
    'a signature in capitals': token.replace(signature, signature.toUpperCase()),
    'a whole token in capitals': token.toUpperCase(),
    'a whole token backwards': [...token].reverse().join('')
  })
})

t.test('a signature in the standard alphabet is refused', async (t) => {
  const opened = await openSession(t)
  const candidates = Array.from({ length: 100 }, (_, n) => seal(HEADER, payloadOf(opened.session, { n: `${n}` })))
  for (const special of ['-', '_']) {
    const token = candidates.find((candidate) => candidate.split('.')[2]?.includes(special)) ?? ''
    const [header, payload, signature = ''] = token.split('.')
    assertAccepted(t, await opened.visit(token))
    await assertInvalid(t, opened, { [special]: `${header}.${payload}.${toStandardAlphabet(signature)}` })
  }
})

t.test('a token without exactly three segments is refused', async (t) => {
  const opened = await openSession(t)
  const { session, token } = opened
  const [header = '', payload = '', signature = ''] = token.split('.')
  const json = { protected: header, payload, signature }
  await assertInvalid(t, opened, {
    'a header': header,
    'a payload': payload,
    'a signature': signature,
    'the JSON of a payload': payloadOf(session),
    'the session’s id': session.id,
    'header and payload': `${header}.${payload}`,
    'header and payload and an end': `${header}.${payload}.`,
    'payload and signature': `${payload}.${signature}`,
    'header and signature': `${header}.${signature}`,
    'an empty payload': `${header}..${signature}`,
    'an empty payload, signed': signed(`${header}.`),
    'an empty header': `.${payload}.${signature}`,
    'an empty header, signed': signed(`.${payload}`),
    'two empty segments, signed': signed('.'),
    'a full stop': '.',
    'two full stops': '..',
    'three full stops': '...',
    'four full stops': '....',
    'a thousand full stops': '.'.repeat(1_000),
    'a fourth segment': `${token}.${signature}`,
    'a fourth segment, signed': signed(token),
    'an empty fourth segment': `${token}.`,
    'an empty first segment': `.${token}`,
    'five segments': `${token}.${payload}.${signature}`,
    'five segments of a JWE': [
      encode('{"alg":"dir","enc":"A256GCM"}'),
      '',
      'AAAAAAAAAAAAAAAA',
      payload,
      'AAAAAAAAAAAAAAAAAAAAAA'
    ].join('.'),
    'five segments of a JWE with a header of ours': `${header}..${payload}.${payload}.${signature}`,
    'a token in a token': seal('{"alg":"HS256","typ":"at+jwt","cty":"JWT"}', token),
    'a token as payload': seal(HEADER, token),
    'a token as JSON string': JSON.stringify(token),
    'flattened JSON': JSON.stringify(json),
    'general JSON': JSON.stringify({ payload, signatures: [json] }),
    'the segments in another order': `${payload}.${header}.${signature}`,
    'commas between segments': token.replaceAll('.', ','),
    'spaces between segments': token.replaceAll('.', ' '),
    'escaped full stops': token.replaceAll('.', '%2E'),
    'other full stops': token.replaceAll('.', '\u00b7'),
    'a space in front of the payload': `${header}. ${payload}.${signature}`,
    'quotes around': `"${token}"`,
    'angle brackets around': `<${token}>`,
    'braces around': `{${token}}`,
    'a parameter behind': `${token};alg=none`,
    'a hash behind': `${token}#`,
    'a percent sign': '%',
    'half an escape': '%E0%A4%A',
    'an asterisk': '*',
    'the word NULL': 'NULL',
    'the word nil': 'nil',
    '[object Object]': '[object Object]',
    __proto__: '__proto__',
    'a Basic credential': 'YWRhOmNvcnJlY3Q=',
    'two tokens': `${token} ${token}`,
    'two tokens with a comma': `${token}, Bearer ${token}`,
    'two tokens and nothing between': token + token
  })
})

t.test('a token of 8 KB is accepted, and a longer token is refused', async (t) => {
  const opened = await openSession(t)
  const { session, visit } = opened
  const without = payloadOf(session, { filling: '""' }).length
  const tokenOf = (payloadBytes: number) =>
    seal(HEADER, payloadOf(session, { filling: JSON.stringify('x'.repeat(payloadBytes - without)) }))
  const [longest, tooLong] = [tokenOf(6_080), tokenOf(6_081)]
  t.strictSame([longest.length, tooLong.length], [8_192, 8_193])
  assertAccepted(t, await visit(longest))
  await assertInvalid(t, opened, {
    'a byte more': tooLong,
    'twice as long': tokenOf(12_160),
    '100 KB of a good token': tokenOf(75_000),
    '8,193 characters': 'A'.repeat(8_193),
    '100,000 characters': 'A'.repeat(100_000),
    'a payload that nearly matches, so that a slow pattern would show': `${encode(HEADER)}.${'A'.repeat(8_100)}.`
  })
})
