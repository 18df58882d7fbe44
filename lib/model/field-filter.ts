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
 * Copies a JSON value with the declared fields of a schema only, and with the `default` of each missing field. A
 * mismatch is left unchanged or replaced by a value that no schema accepts: the caller validates the copy.
 */
export type FieldFilter = (value: unknown) => unknown

/** Result for a mismatching value. No schema accepts a symbol, and JSON has no symbols. */
const MISFIT = Symbol('misfit')

/** The definitions for each `Ref`, and the filters created until now. */
interface Scope {
  definitions: TProperties
  filters: Map<string, FieldFilter>
}

/**
 * Compiles a schema into a filter.
 *
 * Replaces `Value.Clean` of TypeBox, which keeps every field of a value without a matching union variant, drops the
 * fields of a `Cyclic` in an intersection, and interprets the schema again for each value.
 *
 * @param schema accepted by `resolveUserSchema()`
 */
export function createFieldFilter(schema: TSchema, scope: Scope = scopeOf({})): FieldFilter {
  const filter = filterOf(schema, scope)
  if (!('default' in schema)) return filter
  const { default: fallback } = schema
  return (value) =>
    filter(value === undefined ? cloneJson(typeof fallback === 'function' ? fallback() : fallback) : value)
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

/** The common fields of object and record schemas. */
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
  const filterOther = filterUndeclared(schema.additionalProperties, scope)
  const undeclaredFilter = (name: string) => patterns.find(({ pattern }) => pattern.test(name))?.filter ?? filterOther

  return (value) => {
    if (!isPlainObject(value)) return isStructure(value) ? MISFIT : value
    const entries: [string, unknown][] = []
    const add = (name: string, field: unknown) => field !== undefined && entries.push([name, field])
    for (const { name, filter } of fields) add(name, filter(Object.hasOwn(value, name) ? value[name] : undefined))
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(properties, name)) add(name, undeclaredFilter(name)(value[name]))
    }
    return Object.fromEntries(entries)
  }
}

/** Keeps an undeclared field if the schema for undeclared fields accepts the value. */
function filterUndeclared(schema: TSchema | boolean | undefined, scope: Scope): FieldFilter {
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

/** Filters by the first matching variant, the narrowest first: `{ a, b }` before `{ a }`. */
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

/** The filtered value if the schema accepts the result, else `fallback`. */
function filterVariant(schema: TSchema, scope: Scope, fallback: unknown): FieldFilter {
  const filter = createFieldFilter(schema, scope)
  const validator = Compile(scope.definitions, schema)
  return (value) => {
    const result = filter(value)
    return validator.Check(result) ? result : fallback
  }
}

/** Merges the fields of all members. As in TypeScript, `unknown` adds no fields. */
function filterIntersection(
  { allOf, unevaluatedProperties }: { allOf: TSchema[]; unevaluatedProperties?: TSchema | boolean },
  scope: Scope
): FieldFilter {
  const known = allOf.filter((member) => !IsUnknown(member))
  const filters = (known.length === 0 ? allOf : known).map((member) => createFieldFilter(member, scope))
  const filterOther = filterUndeclared(unevaluatedProperties, scope)
  return (value) => {
    const merged = filters.map((filter) => filter(value)).reduce(merge)
    if (!isPlainObject(value) || !isPlainObject(merged)) return merged
    const others = Object.keys(value).filter((name) => !Object.hasOwn(merged, name))
    const kept = others.map((name) => [name, filterOther(value[name])]).filter(([, field]) => field !== undefined)
    return { ...merged, ...Object.fromEntries(kept) }
  }
}

/** Merges two filtered copies of the same value. */
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

/** Compiles a definition when a value first reaches the reference: a definition may refer to itself. */
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
