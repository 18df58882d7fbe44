import { IsObject, IsString, type TObject } from 'typebox'
import Format from 'typebox/format'
import { InvalidOptionError } from '../errors.js'
import { defaultUserSchema } from '../http/schemas.js'

/** The schema, once it is known that everything in it checks what it says. */
export function resolveUserSchema(schema: TObject = defaultUserSchema): TObject {
  if (!IsObject(schema)) throw new InvalidOptionError('userSchema', 'must be a TypeBox object schema')
  const { properties, required } = schema
  if (!IsString(properties.id) || !required?.includes('id')) {
    throw new InvalidOptionError('userSchema', 'must have a required string `id`')
  }
  checkSchema(schema, { path: '', definitions: [] })
  if ((properties.id as { default?: unknown }).default !== undefined)
    refuse('/id', 'has a `default`: users without an id would be one user')
  return schema
}

/** Where a schema stands, and the names that a `Ref` in it may have. */
interface Place {
  path: string
  definitions: readonly string[]
}

/**
 * The kinds of TypeBox that a user, being JSON, may be made of. All others match no JSON, or are not read by the field
 * filter, such as `This` and `Dependent`.
 */
const KINDS = [
  ...'Any Array Boolean Cyclic Enum Integer Intersect Literal Never Null Number Object'.split(' '),
  ...'Record Ref String TemplateLiteral Tuple Union Unknown'.split(' ')
]

/** A schema of `Type`, as far as its marks tell. */
type Marked = Record<string, unknown> & { '~kind': unknown }

function checkSchema(schema: unknown, place: Place): void {
  const { path } = place
  if (!isMarked(schema)) {
    refuse(
      path,
      'must be made by `Type` of typebox 1: plain JSON schema, `Type.Unsafe` and @sinclair/typebox are not read'
    )
  }
  const kind = String(schema['~kind'])
  if (!KINDS.includes(kind)) refuse(path, `is a \`${kind}\` of TypeBox, which says nothing about JSON`)
  if (schema.format !== undefined && !Format.Has(String(schema.format))) {
    refuse(path, 'has a `format` that TypeBox does not know and so does not check: register it with `Format.Set` first')
  }
  if (kind === 'Intersect' && isEmpty(schema.allOf)) refuse(path, 'is an intersection of nothing')
  if (kind === 'Never') return
  const definitions =
    kind === 'Cyclic' ? [...place.definitions, ...Object.keys(schema.$defs as object)] : place.definitions
  if (typeof schema.$ref === 'string' && !definitions.includes(schema.$ref)) {
    refuse(path, 'refers to a schema that is not in the `Type.Cyclic` around it')
  }
  for (const [below, child] of childrenOf(schema)) checkSchema(child, { path: `${path}${below}`, definitions })
}

function isMarked(schema: unknown): schema is Marked {
  return typeof schema === 'object' && schema !== null && '~kind' in schema && !('~unsafe' in schema)
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}

/** Keywords of JSON schema whose value is a schema or a list of schemas. */
const SCHEMAS = 'allOf anyOf contains else if items not oneOf prefixItems propertyNames then'.split(' ')

/** Keywords whose value may be a boolean as well. */
const SWITCHES = ['additionalItems', 'additionalProperties', 'unevaluatedItems', 'unevaluatedProperties']

/** Keywords whose value has schemas by name. */
const MAPS = ['$defs', 'definitions', 'dependentSchemas', 'patternProperties', 'properties']

/** The schemas in a schema, each with its path below that, from which `properties` is left out. */
function childrenOf(schema: Marked): [path: string, child: unknown][] {
  return Object.entries(schema).flatMap(([keyword, value]): [string, unknown][] => {
    const isList = MAPS.includes(keyword) || (SCHEMAS.includes(keyword) && Array.isArray(value))
    const prefix = keyword === 'properties' ? '' : `/${keyword}`
    if (isList) return Object.entries(value as object).map(([name, child]) => [`${prefix}/${name}`, child])
    const isSchema = SCHEMAS.includes(keyword) || (SWITCHES.includes(keyword) && typeof value !== 'boolean')
    return isSchema ? [[prefix, value]] : []
  })
}

/** @param rule completes the sentence "The `userSchema` option at /path …" */
function refuse(path: string, rule: string): never {
  throw new InvalidOptionError('userSchema', `at \`${path || '/'}\` ${rule}`)
}
