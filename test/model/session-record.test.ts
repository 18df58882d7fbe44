import t from 'tap'
import { Type } from 'typebox'
import type { Session } from '../../lib/index.js'
import type { SessionData } from '../../lib/model/session.js'
import { createSessionId } from '../../lib/model/session-id.js'
import {
  type DecodedRecord,
  decodeRecord,
  encodeActivity,
  encodeRecord,
  encodeUpdate
} from '../../lib/model/session-record.js'
import { createUserParser } from '../../lib/model/user.js'

const users = createUserParser(Type.Object({ id: Type.String(), name: Type.String(), email: Type.String() }))
const CHROME =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36'
const NOW = 1_900_000_000_123
const ID = createSessionId('ada')

function sessionOf(changes: Partial<Session> = {}): Session {
  return {
    id: ID,
    user: { id: 'ada', name: 'Ada', email: 'ada@example.com' } as Session['user'],
    data: {},
    createdAt: NOW,
    expiresAt: NOW + 43_200_000,
    lastSeenAt: NOW,
    ip: '203.0.113.77',
    userAgent: CHROME,
    ...changes
  }
}

function decode(text: string): DecodedRecord {
  const read = decodeRecord(ID, text, users)
  if (read === null) throw new Error(`Cannot be read: ${text}`)
  return read
}

/** The elements after the three times of a record. */
function elementsOf(text: string): unknown[] {
  return JSON.parse(`[${text.split(' ').slice(3).join(' ')}]`)
}

function withElements(text: string, elements: unknown[]): string {
  return `${text.split(' ').slice(0, 3).join(' ')} ${JSON.stringify(elements).slice(1, -1)}`
}

t.test('a decoded record is the encoded session', async (t) => {
  const variants: Partial<Session>[] = [
    {},
    { data: { cart: ['a b', 1], nested: { a: null } } },
    { lastSeenAt: NOW + 43_199_999 },
    { ip: null, userAgent: null },
    { expiresAt: NOW + 1_000 },
    { userAgent: 'a "quoted", [bracketed] agent \\ with   spaces, 日本' }
  ]
  for (const changes of variants) {
    const session = sessionOf(changes)
    t.strictSame(decode(encodeRecord(session)).session, session)
  }
})

t.test('a record is short enough for 300 bytes of Redis per session', async (t) => {
  // The store adds 32 characters, and Redis allocates 192 bytes instead of 160 above 156 characters.
  const user = { id: '106249', name: 'User 106249', email: 'user106249@example.com' } as Session['user']
  const session = sessionOf({ user })
  const record = encodeRecord(session)
  t.ok(record.length <= 120, `${record.length} characters after the login`)
  const used = encodeActivity(decode(record), NOW + 1_800_000)
  t.ok(used.length <= 124, `${used.length} characters after activity`)
})

t.test('activity changes only the time, and no other byte of the record', async (t) => {
  const record = encodeRecord(sessionOf({ data: { a: 1 } }))
  // A record of another release may have more elements, and another spelling of the same JSON.
  const text = `${record},  {"of": "a newer release"}, 1.0`
  const next = encodeActivity(decode(text), NOW + 60_000)
  const [, , seen, ...rest] = text.split(' ')
  t.equal(seen, '0')
  t.equal(next.split(' ').slice(3).join(' '), rest.join(' '))
  t.equal(next.split(' ')[2], (60_000).toString(36))
  t.equal(decode(next).session.lastSeenAt, NOW + 60_000)
})

t.test('records of the previous and the next release are read, and no other', async (t) => {
  const record = encodeRecord(sessionOf())
  const [version, ...rest] = elementsOf(record) as [number, ...unknown[]]
  for (const difference of [-1, 0, 1]) {
    t.strictSame(decode(withElements(record, [version + difference, ...rest])).session, sessionOf())
  }
  for (const other of [version - 2, version + 2, version + 0.5, `${version}`, null, [version]]) {
    t.equal(decodeRecord(ID, withElements(record, [other, ...rest]), users), null, JSON.stringify(other))
  }
})

t.test('an update keeps the elements and the version of a newer release', async (t) => {
  const record = encodeRecord(sessionOf())
  const [version, ...rest] = elementsOf(record) as [number, ...unknown[]]
  const newer = withElements(record, [version + 1, ...rest, {}, { added: [1] }, 'more'])
  const update = (text: string, data: SessionData) => {
    const read = decode(text)
    return encodeUpdate(read, { ...read.session, data })
  }
  const updated = update(newer, { a: 1 })
  t.strictSame(elementsOf(updated), [version + 1, ...rest, { a: 1 }, { added: [1] }, 'more'])
  const emptied = update(updated, {})
  t.strictSame(elementsOf(emptied), [version + 1, ...rest, {}, { added: [1] }, 'more'])
  t.equal(update(update(record, { a: 1 }), {}), record, 'an empty update changes no byte')
})

t.test('a corrupt record cannot be decoded', async (t) => {
  const record = encodeRecord(sessionOf())
  const [expiresAt, ttl, seen] = record.split(' ') as [string, string, string]
  const elements = elementsOf(record)
  const corrupt: Record<string, string> = {
    'no text': '',
    'a space': ' ',
    'times only': `${expiresAt} ${ttl} ${seen}`,
    'times and a space': `${expiresAt} ${ttl} ${seen} `,
    'cut off': record.slice(0, -1),
    'too few times': record.slice(expiresAt.length + 1),
    'a time that is no number': record.replace(expiresAt, '-'),
    'a lifetime that is no number': record.replace(` ${ttl} `, ' - '),
    'a lifetime below zero': record.replace(` ${ttl} `, ' -1 '),
    'an activity before the login': record.replace(` ${seen} `, ' -1 '),
    'an expiry that is too large': record.replace(expiresAt, expiresAt.repeat(4)),
    'no array': `${expiresAt} ${ttl} ${seen} {}`,
    'brackets of its own': `${expiresAt} ${ttl} ${seen} ${JSON.stringify(elements)}`,
    'another user': withElements(record, [elements[0], { id: 'ada' }, ...elements.slice(2)]),
    'no user': withElements(record, [elements[0], null, ...elements.slice(2)]),
    'an ip that is no text': withElements(record, [...elements.slice(0, 2), 1, elements[3]]),
    'a user agent that is missing': withElements(record, elements.slice(0, 3)),
    'data that is an array': withElements(record, [...elements, []]),
    'data that is null': withElements(record, [...elements, null]),
    'the format of an earlier release': `${expiresAt} ${ttl} 0 ${seen} ${JSON.stringify(elements)}`
  }
  for (const [name, text] of Object.entries(corrupt)) t.equal(decodeRecord(ID, text, users), null, name)
})
