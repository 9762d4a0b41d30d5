// A JSON Schema (draft-07) validator for the keywords that the shipped schema uses. Any other keyword is an error, so that
// no part of the schema goes unchecked. It returns only valid or invalid.
import { isRecord } from '../../src/base/check.ts'

type Schema = Record<string, unknown>
type Rule = (value: unknown, argument: never, schema: Schema, root: Schema) => boolean

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
const typeOf = (value: unknown): string =>
  value === null
    ? 'null'
    : Array.isArray(value)
      ? 'array'
      : Number.isInteger(value)
        ? 'integer'
        : typeof value
const hasType = (value: unknown, type: string): boolean =>
  typeOf(value) === type || (type === 'number' && typeof value === 'number')

const NOTES = new Set(['$schema', '$id', 'title', 'description', 'default', 'definitions'])
const RULES: Record<string, Rule> = {
  $ref: (value, ref: string, _, root) => valid(value, definition(ref, root), root),
  type: (value, type: string | string[]) => [type].flat().some((one) => hasType(value, one)),
  const: (value, expected: unknown) => same(value, expected),
  enum: (value, allowed: unknown[]) => allowed.some((one) => same(value, one)),
  allOf: (value, all: Schema[], _, root) => all.every((one) => valid(value, one, root)),
  oneOf: (value, some: Schema[], _, root) => some.filter((one) => valid(value, one, root)).length === 1,
  not: (value, schema: Schema, _, root) => !valid(value, schema, root),
  minimum: (value, min: number) => typeof value !== 'number' || value >= min,
  maximum: (value, max: number) => typeof value !== 'number' || value <= max,
  minLength: (value, min: number) => typeof value !== 'string' || value.length >= min,
  maxLength: (value, max: number) => typeof value !== 'string' || value.length <= max,
  pattern: (value, pattern: string) => typeof value !== 'string' || new RegExp(pattern, 'u').test(value),
  items: (value, schema: Schema, _, root) =>
    !Array.isArray(value) || value.every((item) => valid(item, schema, root)),
  minItems: (value, min: number) => !Array.isArray(value) || value.length >= min,
  maxItems: (value, max: number) => !Array.isArray(value) || value.length <= max,
  required: (value, keys: string[]) => !isRecord(value) || keys.every((key) => Object.hasOwn(value, key)),
  minProperties: (value, min: number) => !isRecord(value) || Object.keys(value).length >= min,
  maxProperties: (value, max: number) => !isRecord(value) || Object.keys(value).length <= max,
  propertyNames: (value, schema: Schema, _, root) =>
    !isRecord(value) || Object.keys(value).every((key) => valid(key, schema, root)),
  properties: (value, properties: Record<string, Schema>, _, root) =>
    !isRecord(value) ||
    Object.entries(properties).every(
      ([key, schema]) => !Object.hasOwn(value, key) || valid(value[key], schema, root),
    ),
  additionalProperties: (value, rest: Schema | false, schema, root) => {
    if (!isRecord(value)) return true
    const known = (schema['properties'] ?? {}) as Schema
    const others = Object.keys(value).filter((key) => !Object.hasOwn(known, key))
    return rest === false ? others.length === 0 : others.every((key) => valid(value[key], rest, root))
  },
}

function definition(ref: string, root: Schema): Schema {
  const found = (root['definitions'] as Record<string, Schema>)[ref.replace('#/definitions/', '')]
  if (found === undefined) throw new Error(`the schema has no ${ref}`)
  return found
}

function valid(value: unknown, schema: Schema, root: Schema): boolean {
  return Object.entries(schema).every(([keyword, argument]) => {
    if (NOTES.has(keyword)) return true
    const rule = RULES[keyword]
    if (rule === undefined) throw new Error(`the keyword ${keyword} is not supported`)
    return rule(value, argument as never, schema, root)
  })
}

/** Returns true when `value` (JSON) is valid against `schema`. Throws for an unsupported keyword. */
export function validates(value: unknown, schema: Record<string, unknown>): boolean {
  return valid(value, schema, schema)
}
