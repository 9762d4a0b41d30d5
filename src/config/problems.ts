// Collects what is wrong with a config: every problem once, with its path, in the order found, bounded.

import type { Problem } from '../base/errors.ts'

export type Path = readonly (string | number)[]

/** Most problems one answer carries; the rest is counted in its last line. */
const MAX_PROBLEMS = 1000

export interface Problems {
  add(path: Path, message: string): void
  /** How many different problems there are. */
  readonly count: number
  list(): Problem[]
}

export function createProblems(): Problems {
  const seen = new Set<string>()
  const kept: Problem[] = []
  let left = 0
  return {
    add(path, message) {
      const problem = { path: formatPath(path), message }
      const key = `${problem.path}\n${message}`
      if (seen.has(key)) return
      if (kept.length >= MAX_PROBLEMS) {
        left++
        return
      }
      seen.add(key)
      kept.push(problem)
    },
    get count() {
      return kept.length + left
    },
    list() {
      return left === 0 ? [...kept] : [...kept, { path: '', message: `${left} more problems are not shown` }]
    },
  }
}

/** `workers.webhook.after[0]`; a key that is not a plain word is quoted: `workers["a.b"].module`. */
function formatPath(path: Path): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else if (/^[\w-]{1,64}$/.test(part)) text += text === '' ? part : `.${part}`
    else text += `[${JSON.stringify(cut(oneLine(redact(part))))}]`
  }
  return text
}

/** A value as a message quotes it: on one line, at most `limit` characters, without a password in a URL; of an object
 *  only its kind. */
export function show(value: unknown, limit: number = 80): string {
  if (typeof value === 'string') return `'${cut(oneLine(redact(value)), limit)}'`
  if (value === undefined) return 'nothing'
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value)
  return kindOf(value)
}

/** What sort of value it is, for messages that must not quote it. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Hides what may be the user and password of a URL: everything between the first `://` and the last `@`. */
export function redact(text: string): string {
  const start = text.indexOf('://')
  const end = text.lastIndexOf('@')
  return start === -1 || end < start ? text : `${text.slice(0, start)}://***${text.slice(end)}`
}

function cut(text: string, limit: number = 80): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 3)}...`
}

function oneLine(text: string): string {
  return text.slice(0, 8192).replace(/[\p{Cc}\p{Cs}\u2028\u2029]/gu, '?')
}
