import t from 'tap'
import { createTokenBoxes } from '../../lib/custody/token-box.js'
import { createSessionId } from '../../lib/model/session-id.js'
import { createFaults } from '../fixtures/faults.js'

const [oldSecret, newSecret] = [Buffer.alloc(32, 'old '), Buffer.alloc(32, 'new ')]
const owner = { sessionId: createSessionId('ada'), userId: 'ada' }
const TEXTS = ['x', '', '["a","b"]', 'é 😀 \0', 'x'.repeat(100_000)]

t.test('a box opens for its owner, and each box differs', async (t) => {
  const boxes = createTokenBoxes([newSecret, oldSecret])
  for (const text of TEXTS) {
    const [box, again] = [boxes.seal(text, owner), boxes.seal(text, owner)]
    t.equal(boxes.open(box, owner), text)
    t.equal(createTokenBoxes([newSecret]).open(again, { ...owner }), text, 'also in another process')
    t.not(box, again)
    t.match(box, /^1\.[\w-]{8}\.[\w-]+$/)
    if (text.length > 1) t.notOk(box.includes(text))
  }
})

t.test('a box does not open for another session or another user', async (t) => {
  const boxes = createTokenBoxes([newSecret])
  const box = boxes.seal('x', owner)
  for (const other of [
    { ...owner, sessionId: createSessionId('ada') },
    { ...owner, userId: 'bob' },
    { ...owner, userId: '' },
    { sessionId: owner.userId, userId: owner.sessionId }
  ]) {
    t.equal(boxes.open(box, other), null)
  }
})

t.test('a box that was changed, cut, or has another version or key does not open', async (t) => {
  const boxes = createTokenBoxes([newSecret, oldSecret])
  const box = boxes.seal('x'.repeat(20), owner)
  const [version = '', keyId = '', body = ''] = box.split('.')
  const otherKeyId = createTokenBoxes([oldSecret]).seal('x', owner).split('.')[1]
  const faults = createFaults()
  const note = (changed: string) => faults.compare(changed, boxes.open(changed, owner), null)
  const bytes = Buffer.from(body, 'base64url')
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes)
    changed[i] = (changed[i] ?? 0) ^ 1
    note(`${version}.${keyId}.${changed.toString('base64url')}`)
  }
  for (let i = 0; i < box.length; i++) note(box.slice(0, i))
  for (const wrong of [`2.${keyId}.${body}`, `${version}.${otherKeyId}.${body}`, `${version}.AAAAAAAA.${body}`])
    note(wrong)
  for (const wrong of ['', '.', '..', '1..', `1.${keyId}.`, 'garbage', ' ']) note(wrong)
  faults.assertNone(t)
})

t.test('a secret that is replaced still opens, a removed secret does not', async (t) => {
  const box = createTokenBoxes([oldSecret]).seal('x', owner)
  t.equal(createTokenBoxes([oldSecret, newSecret]).open(box, owner), 'x')
  t.equal(createTokenBoxes([newSecret, oldSecret]).open(box, owner), 'x')
  t.equal(createTokenBoxes([newSecret]).open(box, owner), null)
  t.equal(
    createTokenBoxes([newSecret, oldSecret]).seal('x', owner).split('.')[1],
    createTokenBoxes([newSecret]).seal('x', owner).split('.')[1],
    'the first secret seals'
  )
  t.throws(() => createTokenBoxes([]), RangeError)
})
