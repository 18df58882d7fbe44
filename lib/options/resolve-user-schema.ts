import { IsObject, IsString, type TObject } from 'typebox'
import Format from 'typebox/format'
import { InvalidOptionError } from '../errors.js'
import { defaultUserSchema } from '../http/schemas.js'

/**
 * The schema, or the default. Every keyword of the schema must be one that TypeBox checks: an unchecked part would let
 * any field of the upstream's user into sessions and replies.
 *
 * @throws {InvalidOptionError}
 */
export function resolveUserSchema(schema: TObject = defaultUserSchema): TObject {
  if (!IsObject(schema)) throw new InvalidOptionError('userSchema', 'must be a TypeBox object schema')
  const { properties, required } = schema
  if (!IsString(properties.id) || !required?.includes('id')) {
    throw new InvalidOptionError('userSchema', 'must have a required string `id`')
  }
  checkSchema(schema, { path: '', definitions: [] })
  if ((properties.id as { default?: unknown }).default !== undefined)
    rejectAt('/id', 'has a `default`: all users without an id would be the same user')
  return schema
}

/** The position of a schema. */
interface Place {
  /** Like a JSON pointer, without `properties`. */
  path: string
  /** Names that a `Ref` may have: the definitions of the enclosing `Cyclic` schemas. */
  definitions: readonly string[]
}

/**
 * The kinds of TypeBox schemas that match JSON and that the field filter supports. Other kinds match no JSON, or are
 * not supported, such as `This` and `Dependent`.
 */
const KINDS = [
  ...'Any Array Boolean Cyclic Enum Integer Intersect Literal Never Null Number Object'.split(' '),
  ...'Record Ref String TemplateLiteral Tuple Union Unknown'.split(' ')
]

/** A schema with the marks of `Type`. */
type Marked = Record<string, unknown> & { '~kind': unknown }

function checkSchema(schema: unknown, place: Place): void {
  const { path } = place
  if (!isMarked(schema)) {
    rejectAt(
      path,
      'must be made by `Type` of typebox 1: plain JSON schema, `Type.Unsafe` and @sinclair/typebox are not supported'
    )
  }
  const kind = String(schema['~kind'])
  if (!KINDS.includes(kind)) rejectAt(path, `is a \`${kind}\` of TypeBox, which describes no JSON`)
  if (schema.format !== undefined && !Format.Has(String(schema.format))) {
    rejectAt(
      path,
      'has a `format` that TypeBox does not know and does not check: register the format with `Format.Set` first'
    )
  }
  if (kind === 'Intersect' && isEmpty(schema.allOf)) rejectAt(path, 'is an intersection of nothing')
  if (kind === 'Never') return
  const definitions =
    kind === 'Cyclic' ? [...place.definitions, ...Object.keys(schema.$defs as object)] : place.definitions
  if (typeof schema.$ref === 'string' && !definitions.includes(schema.$ref)) {
    rejectAt(path, 'refers to a schema that is not in the `Type.Cyclic` around it')
  }
  for (const [below, child] of childrenOf(schema)) checkSchema(child, { path: `${path}${below}`, definitions })
}

function isMarked(schema: unknown): schema is Marked {
  return typeof schema === 'object' && schema !== null && '~kind' in schema && !('~unsafe' in schema)
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}

/** Keywords whose value is a schema or a list of schemas. */
const SCHEMAS = 'allOf anyOf contains else if items not oneOf prefixItems propertyNames then'.split(' ')

/** Keywords whose value is a schema or a boolean. */
const SCHEMAS_OR_BOOLEANS = ['additionalItems', 'additionalProperties', 'unevaluatedItems', 'unevaluatedProperties']

/** Keywords whose value is an object of schemas by name. */
const MAPS = ['$defs', 'definitions', 'dependentSchemas', 'patternProperties', 'properties']

/** The direct subschemas with their relative paths. Paths omit `properties`. */
function childrenOf(schema: Marked): [path: string, child: unknown][] {
  return Object.entries(schema).flatMap(([keyword, value]): [string, unknown][] => {
    const isList = MAPS.includes(keyword) || (SCHEMAS.includes(keyword) && Array.isArray(value))
    const prefix = keyword === 'properties' ? '' : `/${keyword}`
    if (isList) return Object.entries(value as object).map(([name, child]) => [`${prefix}/${name}`, child])
    const isSchema = SCHEMAS.includes(keyword) || (SCHEMAS_OR_BOOLEANS.includes(keyword) && typeof value !== 'boolean')
    return isSchema ? [[prefix, value]] : []
  })
}

/** @param rule completes the sentence "The `userSchema` option at `/path` …" */
function rejectAt(path: string, rule: string): never {
  throw new InvalidOptionError('userSchema', `at \`${path || '/'}\` ${rule}`)
}
