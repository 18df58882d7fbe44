import {
  IsAny,
  IsArray,
  IsCyclic,
  IsIntersect,
  IsObject,
  IsRecord,
  IsRef,
  IsTuple,
  IsUnion,
  IsUnknown,
  type TProperties,
  type TSchema
} from 'typebox'
import { Compile } from 'typebox/compile'
import { Priority } from 'typebox/type'
import { cloneJson, isPlainObject } from '../internal/json.js'

/**
 * Makes a copy of a JSON value with the fields that a schema declares and no others, and with the `default` of a field that
 * is missing. What cannot fit is left as it is, or becomes something that no schema accepts: check the copy.
 */
export type FieldFilter = (value: unknown) => unknown

/** Stands for a value of which nothing may be kept. No schema accepts a symbol, and JSON has none. */
const MISFIT = Symbol('misfit')

/** The definitions that a `Ref` may name, and their filters as far as they are made. */
interface Scope {
  definitions: TProperties
  filters: Map<string, FieldFilter>
}

/**
 * Not `Value.Clean` of TypeBox: that keeps every field of a value that fits no variant of a union once its fields are
 * dropped, loses those of a `Cyclic` in an intersection, and reads the schema anew for each value.
 *
 * @param schema one that `resolveUserSchema()` lets pass
 */
export function createFieldFilter(schema: TSchema, scope: Scope = scopeOf({})): FieldFilter {
  const filter = filterOf(schema, scope)
  if (!('default' in schema)) return filter
  const { default: given } = schema
  return (value) => filter(value === undefined ? cloneJson(typeof given === 'function' ? given() : given) : value)
}

function filterOf(schema: TSchema, scope: Scope): FieldFilter {
  if (IsAny(schema) || IsUnknown(schema)) return (value) => value
  if (IsObject(schema) || IsRecord(schema)) return filterObject(schema, scope)
  if (IsArray(schema)) return filterArray(schema.items, scope)
  if (IsTuple(schema)) return filterTuple(schema.items, scope)
  if (IsUnion(schema)) return filterUnion(schema.anyOf, scope)
  if (IsIntersect(schema)) return filterIntersection(schema, scope)
  if (IsRef(schema)) return filterReference(schema.$ref, scope)
  if (IsCyclic(schema)) return filterReference(schema.$ref, scopeOf({ ...scope.definitions, ...schema.$defs }))
  return (value) => (isStructure(value) ? MISFIT : value)
}

function scopeOf(definitions: TProperties): Scope {
  return { definitions, filters: new Map() }
}

function isStructure(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** What schemas of objects have in common. */
interface ObjectSchema extends TSchema {
  properties?: TProperties
  patternProperties?: TProperties
  additionalProperties?: TSchema | boolean
}

function filterObject(schema: ObjectSchema, scope: Scope): FieldFilter {
  const { properties = {}, patternProperties = {} } = schema
  const fields = Object.entries(properties).map(([name, field]) => ({ name, filter: createFieldFilter(field, scope) }))
  const patterns = Object.entries(patternProperties).map(([pattern, field]) => ({
    pattern: new RegExp(pattern, 'u'),
    filter: createFieldFilter(field, scope)
  }))
  const filterOther = filterOthers(schema.additionalProperties, scope)
  /** The filter of a field that has no name in the schema. */
  const filterFor = (name: string) => patterns.find(({ pattern }) => pattern.test(name))?.filter ?? filterOther

  return (value) => {
    if (!isPlainObject(value)) return isStructure(value) ? MISFIT : value
    const named = fields.map(({ name, filter }) => [name, filter(Object.hasOwn(value, name) ? value[name] : undefined)])
    const others = Object.keys(value)
      .filter((name) => !Object.hasOwn(properties, name))
      .map((name) => [name, filterFor(name)(value[name])])
    return Object.fromEntries([...named, ...others].filter(([, field]) => field !== undefined))
  }
}

/** Fields without a name or a pattern: kept where a schema for them accepts them, and otherwise dropped. */
function filterOthers(schema: TSchema | boolean | undefined, scope: Scope): FieldFilter {
  if (typeof schema !== 'object') return (value) => (schema === true ? value : undefined)
  return filterVariant(schema, scope, undefined)
}

function filterArray(items: TSchema, scope: Scope): FieldFilter {
  const filter = createFieldFilter(items, scope)
  return (value) => (Array.isArray(value) ? value.map(filter) : isStructure(value) ? MISFIT : value)
}

function filterTuple(items: TSchema[], scope: Scope): FieldFilter {
  const filters = items.map((item) => createFieldFilter(item, scope))
  return (value) => {
    if (!Array.isArray(value)) return isStructure(value) ? MISFIT : value
    return filters.slice(0, value.length).map((filter, index) => filter(value[index]))
  }
}

/** The value as the narrowest variant sees it that then accepts it: `{ a, b }` before `{ a }`. */
function filterUnion(variants: TSchema[], scope: Scope): FieldFilter {
  const filters = Priority(variants).map((variant) => filterVariant(variant, scope, MISFIT))
  return (value) => {
    for (const filter of filters) {
      const result = filter(value)
      if (result !== MISFIT) return result
    }
    return value === undefined ? undefined : MISFIT
  }
}

/** What is left of the value if the schema accepts it, and `otherwise` if not. */
function filterVariant(schema: TSchema, scope: Scope, otherwise: unknown): FieldFilter {
  const filter = createFieldFilter(schema, scope)
  const validator = Compile(scope.definitions, schema)
  return (value) => {
    const result = filter(value)
    return validator.Check(result) ? result : otherwise
  }
}

/** The fields of all members together. As in TypeScript, `unknown` adds none. */
function filterIntersection(
  { allOf, unevaluatedProperties }: { allOf: TSchema[]; unevaluatedProperties?: TSchema | boolean },
  scope: Scope
): FieldFilter {
  const known = allOf.filter((member) => !IsUnknown(member))
  const filters = (known.length === 0 ? allOf : known).map((member) => createFieldFilter(member, scope))
  const filterOther = filterOthers(unevaluatedProperties, scope)
  return (value) => {
    const merged = filters.map((filter) => filter(value)).reduce(merge)
    if (!isPlainObject(value) || !isPlainObject(merged)) return merged
    const others = Object.keys(value).filter((name) => !Object.hasOwn(merged, name))
    const kept = others.map((name) => [name, filterOther(value[name])]).filter(([, field]) => field !== undefined)
    return { ...merged, ...Object.fromEntries(kept) }
  }
}

/** Two filtered copies of the same value as one. */
function merge(left: unknown, right: unknown): unknown {
  if (right === undefined || left === MISFIT) return left
  if (isPlainObject(left) && isPlainObject(right)) {
    const names = [...new Set([...Object.keys(left), ...Object.keys(right)])]
    const field = (from: Record<string, unknown>, name: string) => (Object.hasOwn(from, name) ? from[name] : undefined)
    return Object.fromEntries(names.map((name) => [name, merge(field(left, name), field(right, name))]))
  }
  if (Array.isArray(left) && Array.isArray(right)) return left.map((item, index) => merge(item, right[index]))
  return right
}

/** A definition is read when a value reaches it first: it may refer to itself. */
function filterReference(name: string, scope: Scope): FieldFilter {
  return (value) => {
    let filter = scope.filters.get(name)
    if (filter === undefined) {
      filter = createFieldFilter(scope.definitions[name] as TSchema, scope)
      scope.filters.set(name, filter)
    }
    return filter(value)
  }
}
