import Fastify from 'fastify'
import t from 'tap'
import { type TSchema, Type } from 'typebox'
import Format from 'typebox/format'
import { fastifyJwtSession } from '../../lib/index.js'
import { createFieldFilter } from '../../lib/model/field-filter.js'
import { createUserParser } from '../../lib/model/user.js'
import { resolveUserSchema } from '../../lib/options/resolve-user-schema.js'
import { SECRET } from '../fixtures/planted-secrets.js'

const id = Type.String()
const closed = { additionalProperties: false }

/** A parser for users with an `id` and this field. */
const parserOf = (field: TSchema) => createUserParser(resolveUserSchema(Type.Object({ id, field })))

/** The parsed field, or null when the user is refused. */
function parseField(field: TSchema, given: unknown): unknown {
  const user: object | null = parserOf(field).parse({ id: 'ada', field: given })
  return (user as { field?: unknown } | null)?.field ?? null
}

const tree = Type.Cyclic(
  { Node: Type.Object({ name: id, below: Type.Optional(Type.Array(Type.Ref('Node'))) }) },
  'Node'
)
const named = Type.Object({ name: id })
const aged = Type.Object({ age: Type.Number() })

/** A plain JSON schema, as other libraries make schemas. */
const PLAIN = { type: 'object', properties: { name: { type: 'string' } } } as TSchema
/** The result of `Type.Object` in @sinclair/typebox 0.34. */
const SINCLAIR = { [Symbol.for('TypeBox.Kind')]: 'Object', ...PLAIN } as TSchema

const FOREIGN: Record<string, TSchema> = {
  'plain JSON schema': PLAIN,
  'an empty schema': {},
  'a schema of @sinclair/typebox 0.34': SINCLAIR,
  'Type.Unsafe': Type.Unsafe(PLAIN),
  'Type.Unsafe of a schema of TypeBox': Type.Unsafe(Type.Object({ name: id })),
  'a copy that has lost its kind': { ...named },
  'a boolean': true as unknown as TSchema,
  'a class': class {} as unknown as TSchema,
  null: null as unknown as TSchema
}

const PLACES: Record<string, [at: string, place: (schema: TSchema) => TSchema]> = {
  'a field': ['/field', (schema) => schema],
  'a field of a field': ['/field/deep', (schema) => Type.Object({ deep: schema })],
  'the items of an array': ['/field/items', (schema) => Type.Array(schema)],
  'a place of a tuple': ['/field/items/1', (schema) => Type.Tuple([id, schema])],
  'a variant of a union': ['/field/anyOf/1', (schema) => Type.Union([Type.Null(), schema])],
  'a member of an intersection': ['/field/allOf/0', (schema) => Type.Intersect([schema, named])],
  'the fields of a record': ['/field/patternProperties/^.*$', (schema) => Type.Record(Type.String(), schema)],
  'named patterns of an object': [
    '/field/patternProperties/^x-',
    (s) => Type.Object({}, { patternProperties: { '^x-': s } })
  ],
  'other fields of an object': ['/field/additionalProperties', (s) => Type.Object({}, { additionalProperties: s })],
  'other fields of a record': [
    '/field/additionalProperties',
    (s) => Type.Record(Type.String({ pattern: '^x' }), id, { additionalProperties: s })
  ],
  'other fields of an intersection': [
    '/field/unevaluatedProperties',
    (s) => Type.Intersect([named, aged], { unevaluatedProperties: s })
  ],
  'a definition': [
    '/field/$defs/Node/deep',
    (schema) => Type.Cyclic({ Node: Type.Object({ deep: schema, next: Type.Optional(Type.Ref('Node')) }) }, 'Node')
  ],
  'a condition': ['/field/if', (schema) => Type.Object({}, { if: schema })],
  'far below': [
    '/field/items/anyOf/0/patternProperties/^.*$/deep',
    (schema) => Type.Array(Type.Union([Type.Record(Type.String(), Type.Object({ deep: schema })), Type.Null()]))
  ]
}

t.test('a schema that is not made by TypeBox is refused at any depth, with the path of the schema', async (t) => {
  for (const [place, [path, put]] of Object.entries(PLACES)) {
    for (const [name, schema] of Object.entries(FOREIGN)) {
      // A boolean is meaningful here, and an optional or refined copy of a boolean is not a TypeBox schema.
      if (typeof schema === 'boolean' && path.endsWith('Properties')) continue
      const expected = { code: 'FST_JWT_SESSION_INVALID_OPTION', option: 'userSchema', message: `at \`${path}\`` }
      let thrown: unknown
      try {
        parserOf(put(schema))
      } catch (error) {
        thrown = error
      }
      t.match(thrown, expected, `${name} as ${place}`)
    }
  }
  t.throws(
    () => parserOf(Type.Optional(Type.Unsafe(PLAIN))),
    { message: '`/field`' },
    'Optional does not hide a foreign schema'
  )
  t.throws(
    () => parserOf(Type.Readonly(Type.Unsafe(PLAIN))),
    { message: '`/field`' },
    'Readonly does not hide a foreign schema'
  )
  t.throws(
    () => parserOf(Type.Refine(Type.Unsafe(PLAIN), () => true)),
    { message: '`/field`' },
    'Refine does not hide a foreign schema'
  )
  t.throws(() => resolveUserSchema(Type.Object({ id }, { not: PLAIN })), { message: '`/not`' })
})

t.test('a foreign schema fails register()', async (t) => {
  const userSchema = Type.Object({ id, profile: PLAIN })
  const app = Fastify()
  const options = { jwt: { secret: SECRET }, upstream: { baseUrl: 'http://127.0.0.1:1' }, userSchema }
  await t.rejects(async () => app.register(fastifyJwtSession, options), {
    code: 'FST_JWT_SESSION_INVALID_OPTION',
    message: /^The `userSchema` option at `\/profile` must be made by `Type` of typebox 1/
  })
  await app.close()
})

t.test('unsupported types of TypeBox are refused', async (t) => {
  const unread: Record<string, TSchema> = {
    This: Type.Object({ next: Type.Optional(Type.This()) }),
    'a definition that is not there': Type.Ref('Node'),
    'a definition outside of Cyclic': Type.Object({ next: Type.Ref('Node') }, { $defs: { Node: named } }),
    'a definition of another Cyclic': Type.Tuple([tree, Type.Ref('Node')]),
    Dependent: Type.Dependent(named, aged, named),
    'an intersection of nothing': Type.Intersect([]),
    'the rest of a tuple': Type.Tuple([id, Type.Rest(Type.Array(named))]),
    'a function': Type.Function([], id),
    'a class': Type.Constructor([], id),
    BigInt: Type.BigInt(),
    Symbol: Type.Symbol(),
    Undefined: Type.Undefined(),
    Void: Type.Union([id, Type.Void()])
  }
  for (const [name, schema] of Object.entries(unread)) {
    t.throws(() => parserOf(schema), { code: 'FST_JWT_SESSION_INVALID_OPTION', message: '`/field' }, name)
  }
})

t.test('an unknown format is refused until the host registers the format', async (t) => {
  for (const schema of [
    Type.String({ format: 'even' }),
    Type.Array(Type.Union([Type.Null(), Type.String({ format: 'even' })]))
  ]) {
    t.throws(() => parserOf(schema), { option: 'userSchema', message: '`format`' })
  }
  t.equal(parseField(Type.String({ format: 'email' }), 'ada@example.org'), 'ada@example.org')
  t.equal(parseField(Type.String({ format: 'email' }), 'ada'), null)
  t.throws(() => resolveUserSchema(Type.Object({ id }, { format: 'even' })), { message: 'at `/`' })
  Format.Set('even', (text) => text.length % 2 === 0)
  t.teardown(() => Format.Reset())
  t.equal(parseField(Type.String({ format: 'even' }), 'even'), 'even')
  t.equal(parseField(Type.String({ format: 'even' }), 'odd'), null)
})

t.test('an id with a default is refused, because all users without an id would share the default', async (t) => {
  const schema = Type.Object({ id: Type.String({ default: 'fallback' }) })
  t.throws(() => resolveUserSchema(schema), { option: 'userSchema', message: '`/id`' })
})

const hash = { passwordHash: 'x' }
const EXTRA = { name: 'Ada', age: 36, ...hash }

/** A schema, a field of the upstream and the parsed field; null: the user is refused. */
const DECLARED: Record<string, [schema: TSchema, given: unknown, kept: unknown]> = {
  'a variant that wants more fields than it has': [
    Type.Union([Type.Object({ name: id }, { minProperties: 2 }), Type.Null()]),
    EXTRA,
    null
  ],
  'a variant that demands the field': [
    Type.Union([Type.Object({ name: id }, { required: ['passwordHash'] }), id]),
    EXTRA,
    null
  ],
  'variants beside a text': [Type.Union([Type.String({ type: 'object' }), named]), EXTRA, { name: 'Ada' }],
  'the narrowest variant': [
    Type.Union([named, Type.Object({ name: id, age: Type.Number() })]),
    EXTRA,
    { name: 'Ada', age: 36 }
  ],
  'a variant that is closed': [Type.Union([Type.Object({ name: id }, closed)]), EXTRA, { name: 'Ada' }],
  'no variant': [Type.Union([]), EXTRA, null],
  'unions in arrays': [Type.Array(Type.Union([Type.Null(), named])), [null, EXTRA], [null, { name: 'Ada' }]],
  'a text that may be an object': [Type.String({ type: ['string', 'object'] }), EXTRA, null],
  'an object that may be an array': [Type.Object({}, { type: ['object', 'array'] }), [EXTRA], null],
  'an array that may be an object': [Type.Array(id, { type: ['object', 'array'] }), EXTRA, null],
  'a tuple that may be an object': [Type.Tuple([], { type: ['object', 'array'] }), EXTRA, null],
  'a tuple that is longer': [Type.Tuple([id], { additionalItems: true }), ['a', EXTRA], ['a']],
  'a text for an array': [Type.Array(id), 'passwordHash', null],
  'a text for a tuple': [Type.Tuple([id]), 'passwordHash', null],
  'an object for a tuple': [Type.Tuple([id]), EXTRA, null],
  'a tuple that is shorter': [Type.Tuple([id, id]), ['a'], null],
  'a text for an object': [named, 'passwordHash', null],
  'an array for a record': [Type.Record(Type.String(), id), [EXTRA], null],
  'a record of some names': [Type.Record(Type.String({ pattern: '^name' }), id), EXTRA, { name: 'Ada' }],
  'an object with patterns': [Type.Object({}, { patternProperties: { '^a': Type.Number() } }), EXTRA, { age: 36 }],
  'other fields of one type': [
    Type.Object({ name: id }, { additionalProperties: Type.Number() }),
    EXTRA,
    { name: 'Ada', age: 36 }
  ],
  'any other field': [Type.Object({}, { additionalProperties: true }), EXTRA, EXTRA],
  'anything at all': [Type.Any(), EXTRA, EXTRA],
  'what is not known': [Type.Unknown(), EXTRA, EXTRA],
  'an intersection with a record': [
    Type.Intersect([named, Type.Record(Type.String({ pattern: '^a' }), Type.Number())]),
    EXTRA,
    { name: 'Ada', age: 36 }
  ],
  'an intersection with what is not known': [Type.Intersect([named, Type.Unknown()]), EXTRA, { name: 'Ada' }],
  'an intersection of what is not known': [Type.Intersect([Type.Unknown()]), EXTRA, EXTRA],
  'an intersection that is closed': [
    Type.Intersect([named, aged], { unevaluatedProperties: false }),
    EXTRA,
    { name: 'Ada', age: 36 }
  ],
  'an intersection and other fields of one type': [
    Type.Intersect([named], { unevaluatedProperties: Type.Number() }),
    EXTRA,
    { name: 'Ada', age: 36 }
  ],
  'an intersection and any other field': [
    Type.Intersect([Type.Object({ deep: named }), aged], { unevaluatedProperties: true }),
    { deep: EXTRA, age: 36, other: EXTRA },
    { deep: { name: 'Ada' }, age: 36, other: EXTRA }
  ],
  'an intersection of unions': [
    Type.Intersect([Type.Union([named, Type.Null()]), Type.Union([Type.Null(), aged])]),
    EXTRA,
    { name: 'Ada', age: 36 }
  ],
  'an intersection that cannot be': [Type.Intersect([Type.Union([id, Type.Null()]), named]), EXTRA, null],
  'an intersection of texts': [
    Type.Intersect([Type.String({ minLength: 1 }), Type.String({ maxLength: 3 })]),
    'Ada',
    'Ada'
  ],
  'an intersection of arrays': [
    Type.Intersect([Type.Array(named), Type.Array(aged)]),
    [EXTRA],
    [{ name: 'Ada', age: 36 }]
  ],
  'an intersection of fields with the same name': [
    Type.Intersect([Type.Object({ deep: named }), Type.Object({ deep: aged })]),
    { deep: EXTRA, ...hash },
    { deep: { name: 'Ada', age: 36 } }
  ],
  'an intersection with a definition': [
    Type.Intersect([tree, aged]),
    { ...EXTRA, below: [EXTRA] },
    { name: 'Ada', age: 36, below: [{ name: 'Ada' }] }
  ],
  'a tree': [
    tree,
    { ...EXTRA, below: [{ ...EXTRA, below: [EXTRA] }] },
    { name: 'Ada', below: [{ name: 'Ada', below: [{ name: 'Ada' }] }] }
  ],
  'a union in a tree': [
    Type.Cyclic({ A: Type.Union([Type.Null(), Type.Object({ next: Type.Ref('A') })]) }, 'A'),
    { next: { next: null, ...hash }, ...hash },
    { next: { next: null } }
  ],
  'a part of a type': [
    Type.Partial(Type.Pick(Type.Object({ name: id, age: Type.Number() }), ['name'])),
    EXTRA,
    { name: 'Ada' }
  ],
  'an interface': [Type.Interface([named], { age: Type.Number() }), EXTRA, { name: 'Ada', age: 36 }],
  'a module': [
    Type.Module({ A: Type.Object({ b: Type.Ref('B') }), B: named }).A,
    { b: EXTRA, ...hash },
    { b: { name: 'Ada' } }
  ],
  'a script': [Type.Script('{ name: string, tags?: string[] }'), EXTRA, { name: 'Ada' }],
  'a codec, which is not applied': [Type.Decode(named, () => hash), EXTRA, { name: 'Ada' }],
  'a refinement': [Type.Refine(named, (value) => !('passwordHash' in (value as object))), EXTRA, { name: 'Ada' }],
  'an enumeration': [Type.Enum(['a', 'b']), hash, null],
  'a constant': [Type.Literal('a'), hash, null],
  nothing: [Type.Never(), hash, null],
  'names that every object has': [
    Type.Object({ constructor: id }),
    { constructor: 'a', toString: 'b', ...hash },
    { constructor: 'a' }
  ],
  'the name of the prototype': [
    Type.Object({ name: id }),
    JSON.parse('{"name":"Ada","__proto__":{"passwordHash":"x"}}'),
    { name: 'Ada' }
  ]
}

t.test('no schema lets an undeclared field through', async (t) => {
  for (const [name, [schema, given, kept]] of Object.entries(DECLARED)) {
    t.strictSame(parseField(schema, given), kept, name)
    const nested = Type.Union([Type.Object({ items: Type.Array(schema) }), Type.Boolean()])
    t.strictSame(
      parseField(nested, { items: [given], ...hash }),
      kept === null ? null : { items: [kept] },
      `${name}, nested`
    )
  }
})

t.test('an optional union may be missing', async (t) => {
  const users = parserOf(Type.Optional(Type.Union([Type.Null(), named])))
  t.strictSame(users.parse({ id: 'ada' }), { id: 'ada' })
  t.equal(users.parse({ id: 'ada', field: 'Ada' }), null)
})

t.test('a default replaces only a missing field', async (t) => {
  const role = Type.String({ default: 'reader' })
  const deep = Type.Object({ role, since: Type.Optional(Type.Number({ default: 0 })), note: Type.Optional(id) })
  const filled = { role: 'reader', since: 0 }
  const withDefault: Record<string, [schema: TSchema, given: unknown, kept: unknown]> = {
    'a field': [role, undefined, 'reader'],
    'a field that is there': [role, 'admin', 'admin'],
    'a field that is null': [role, null, null],
    'a nested field': [deep, { ...hash }, filled],
    'an object': [Type.Object({ role }, { default: {} }), undefined, { role: 'reader' }],
    'a place that a tuple lacks': [Type.Tuple([id, role]), ['a'], null],
    'the items of an array': [Type.Array(deep), [{}, { since: 1 }], [filled, { role: 'reader', since: 1 }]],
    'a field of a closed variant': [
      Type.Union([Type.Object({ kind: Type.Literal('a'), role }, closed), Type.Null()]),
      { kind: 'a', ...hash },
      { kind: 'a', role: 'reader' }
    ],
    'a variant': [Type.Union([Type.Null(), role]), undefined, 'reader'],
    'a member of an intersection': [Type.Intersect([named, deep]), { name: 'Ada' }, { name: 'Ada', ...filled }],
    'a definition': [Type.Cyclic({ A: deep }, 'A'), {}, filled],
    'a function': [Type.Object({}, { default: () => ({ ...hash }) }), undefined, {}],
    'a default that does not fit': [Type.Number({ default: 'x' }), undefined, null]
  }
  for (const [name, [schema, given, kept]] of Object.entries(withDefault))
    t.strictSame(parseField(schema, given), kept, name)
  const list = Type.Array(id, { default: [] })
  const [first, second] = [parseField(list, undefined), parseField(list, undefined)]
  t.not(first, second, 'each user gets a copy of the default')
  const users = createUserParser(resolveUserSchema(Type.Object({ id, role }, { default: { id: 'fallback' } })))
  for (const noUser of [undefined, null, '', []]) t.equal(users.parse(noUser), null, 'defaults alone make no user')
})

t.test('a user is refused when a check or a default throws, or when a value is too deep', async (t) => {
  const fail = () => {
    throw new Error('passwordHash')
  }
  for (const schema of [Type.Refine(Type.String(), fail), Type.Object({ a: Type.String({ default: fail }) })]) {
    for (const given of ['a', {}]) {
      const users = parserOf(schema)
      t.equal(users.parse({ id: 'ada', field: given }), null)
      t.match(users.explain({ id: 'ada', field: given }), /^the user does not match `userSchema`/)
      t.strictSame(users.parseFields({ id: 'ada', field: given }), { id: 'ada' })
    }
  }
  t.equal(parserOf(Type.Refine(Type.String(), fail)).accepts({ id: 'ada', field: 'a' }), false)
  let deep = '{"name":"Ada"}'
  for (let depth = 0; depth < 12; depth++) deep = `{"name":"Ada","below":[${deep}]}`
  const filter = createFieldFilter(tree)
  t.strictSame(filter(JSON.parse(deep)), JSON.parse(deep))
  const below = `${'{"name":"a","below":['.repeat(3_000)}{"name":"a"}${']}'.repeat(3_000)}`
  t.equal(parseField(tree, JSON.parse(below)), null)
})

t.test('the log has the path in the schema where a user does not match', async (t) => {
  const schema = Type.Object({
    id,
    name: Type.String(),
    profile: Type.Object({ email: Type.String({ format: 'email' }), 'a/b': Type.Optional(id) }),
    roles: Type.Array(Type.Object({ name: id })),
    flags: Type.Record(Type.String(), Type.Object({ on: Type.Boolean() })),
    parent: Type.Union([Type.Null(), Type.Object({ name: id })]),
    both: Type.Intersect([named, Type.Refine(aged, ({ age }) => age > 17)]),
    pair: Type.Tuple([id, Type.Number()]),
    properties: Type.Optional(Type.Object({ anyOf: id }))
  })
  const good = {
    ...{ id: 'ada', name: 'Ada', profile: { email: 'ada@example.org' }, roles: [{ name: 'admin' }] },
    ...{ flags: { beta: { on: true } }, parent: null, both: { name: 'Ada', age: 36 }, pair: ['a', 1] }
  }
  const users = createUserParser(resolveUserSchema(schema))
  t.ok(users.parse(good))
  const secret = 'hunter2'
  const wrong: [part: object, place: string][] = [
    [{ id: 2 ** 53 }, '/id: an integer beyond 2^53 is not exact'],
    [{ id: -(2 ** 60) }, '/id: an integer beyond 2^53 is not exact'],
    [{ id: '' }, '/id: must be 1 to 256 characters of well-formed Unicode'],
    [{ id: 1.5 }, '/id (type)'],
    [{ id: undefined }, '/id (required)'],
    [{ name: undefined }, '/name (required)'],
    [{ name: [secret] }, '/name (type)'],
    [{ profile: secret }, '/profile (type)'],
    [{ profile: { [secret]: 1 } }, '/profile/email (required)'],
    [{ profile: { email: secret } }, '/profile/email (format)'],
    [{ profile: { ...good.profile, 'a/b': 1 } }, '/profile/a~1b (type)'],
    [{ roles: [{ name: 'a' }, { [secret]: 1 }] }, '/roles/items/name (required)'],
    [{ flags: { [secret]: { on: 'yes' } } }, '/flags/patternProperties/^.*$/on (type)'],
    [{ parent: { [secret]: 'a' } }, '/parent (anyOf)'],
    [{ both: { name: 'a', age: secret } }, '/both/age (type)'],
    [{ both: { name: 'a', age: 1 } }, '/both (~refine)'],
    [{ pair: ['a', secret] }, '/pair/items/1 (type)'],
    [{ properties: { anyOf: 1 } }, '/properties/anyOf (type)']
  ]
  for (const [part, place] of wrong) {
    t.equal(users.parse({ ...good, ...part }), null, place)
    t.equal(users.explain({ ...good, ...part }), `the user does not match \`userSchema\` at ${place}`)
  }
  for (const noUser of [undefined, null]) t.equal(users.explain(noUser), 'the user is missing')
  for (const odd of ['ada', 7, [good], () => good]) t.equal(users.explain(odd), 'the user is not a JSON object')
  const large = createUserParser(resolveUserSchema(Type.Object({ id }, { minProperties: 2 })))
  t.equal(large.explain({ id: 'a' }), 'the user does not match `userSchema` at / (minProperties)')
})
