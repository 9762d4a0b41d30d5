// Copies the export of a config into a plain JSON tree and reports every value that is not JSON. After this step, no
// getter, proxy, cycle or prototype of the config is accessed again.

import { isRecord } from '../base/check.ts'
import { describeThrown } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import { MAX_DEPTH, MAX_TEXT_LENGTH, MAX_VALUES } from './defaults.ts'
import { type Problems, redact, show } from './problems.ts'

type Tree = Json | undefined

interface Walk {
  readonly problems: Problems
  /** The objects on the path from the root to the current value. A value that is among them closes a cycle. */
  readonly open: Set<object>
  readonly path: (string | number)[]
  values: number
  textLength: number
}

/** Returns a deep copy of `raw` as JSON, without keys that have the value undefined. Adds a problem for each value that is
 *  not JSON (and omits it), for each cycle, and for exceeding MAX_DEPTH, MAX_VALUES or MAX_TEXT_LENGTH. */
export function copyJson(raw: unknown, problems: Problems): Tree {
  return copy(raw, { problems, open: new Set(), path: [], values: 0, textLength: 0 })
}

function copy(value: unknown, walk: Walk): Tree {
  if (!withinBounds(value, walk)) return undefined
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      if (Number.isFinite(value)) return value === 0 ? 0 : value
      return refuse(walk, `must be JSON, got ${value}`)
    case 'object':
      return value === null ? null : copyObject(value, walk)
    case 'undefined':
      return refuse(walk, 'must be JSON, got undefined')
    case 'function':
      return refuse(walk, 'must be JSON, got a function. A config is data: name a module instead')
    case 'bigint':
      return refuse(walk, 'must be JSON, got a bigint. Use a number or a string')
    case 'symbol':
      return refuse(walk, 'must be JSON, got a symbol')
  }
}

function copyObject(value: object, walk: Walk): Tree {
  if (walk.open.has(value)) return refuse(walk, 'must be JSON, got an object that contains itself')
  if (walk.path.length >= MAX_DEPTH) return refuse(walk, `is nested deeper than ${MAX_DEPTH} levels`)
  walk.open.add(value)
  try {
    if (Array.isArray(value)) return copyArray(value, walk)
    if (isRecord(value)) return copyRecord(value, walk)
    return refuse(walk, `must be JSON, got ${nameOfKind(value)}`)
  } catch (error) {
    return refuse(walk, `cannot be read: ${show(redact(describeThrown(error).message))}`)
  } finally {
    walk.open.delete(value)
  }
}

function copyArray(value: readonly unknown[], walk: Walk): Json {
  const result: Json[] = []
  for (let i = 0; i < value.length && walk.values <= MAX_VALUES; i++) {
    walk.path.push(i)
    const item = copy(value[i], walk)
    walk.path.pop()
    result.push(item ?? null)
  }
  return result
}

function copyRecord(value: Record<string, unknown>, walk: Walk): Json {
  const result: Record<string, Json> = {}
  if (Object.getOwnPropertySymbols(value).length > 0)
    refuse(walk, 'must be JSON, got an object with a symbol key')
  for (const key of Object.keys(value)) {
    if (walk.values > MAX_VALUES) break
    const item = readInside(value, key, walk)
    if (item !== undefined) result[key] = item
  }
  return result
}

function readInside(value: Record<string, unknown>, key: string, walk: Walk): Tree {
  walk.path.push(key)
  try {
    if (isReserved(key, walk.path))
      return refuse(walk, `the key '${key}' is reserved by JavaScript. Choose another key`)
    walk.textLength += key.length
    const item = value[key]
    return item === undefined ? undefined : copy(item, walk)
  } catch (error) {
    return refuse(walk, `cannot be read: ${show(redact(describeThrown(error).message))}`)
  } finally {
    walk.path.pop()
  }
}

/** `__proto__` is never allowed. The other two are allowed only inside the `config` of a worker, which byre does not read. */
function isReserved(key: string, path: readonly (string | number)[]): boolean {
  if (key === '__proto__') return true
  if (key !== 'constructor' && key !== 'prototype') return false
  return !(path[0] === 'workers' && path[2] === 'config' && path.length > 3)
}

function withinBounds(value: unknown, walk: Walk): boolean {
  if (++walk.values > MAX_VALUES) {
    walk.problems.add([], `has more than ${MAX_VALUES} values`)
    return false
  }
  if (typeof value === 'string') walk.textLength += value.length
  if (walk.textLength <= MAX_TEXT_LENGTH) return true
  walk.problems.add([], `has more than ${MAX_TEXT_LENGTH} characters of text`)
  walk.values = MAX_VALUES + 1
  return false
}

function refuse(walk: Walk, message: string): undefined {
  walk.problems.add(walk.path, message)
  return undefined
}

function nameOfKind(value: object): string {
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  if (tag === 'Promise') return "a promise. Add 'await' before it"
  return tag === 'Object' ? 'an instance of a class' : `a ${tag}`
}
