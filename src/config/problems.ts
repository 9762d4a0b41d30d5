// Collects the problems of a config: each problem once, with its path, in the order found, up to a limit.

import type { Problem } from '../base/errors.ts'

export type Path = readonly (string | number)[]

/** The maximum number of problems that are listed. The number of further ones is in the last line. */
const MAX_PROBLEMS = 1000

export interface Problems {
  add(path: Path, message: string): void
  /** The number of different problems. */
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

/** Formats a path: `workers.webhook.after[0]`. A key that is not a plain word is quoted: `workers["a.b"].module`. */
function formatPath(path: Path): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else if (/^[\w-]{1,64}$/.test(part)) text += text === '' ? part : `.${part}`
    else text += `[${JSON.stringify(cut(oneLine(redact(part))))}]`
  }
  return text
}

/** Formats a value for a message: on one line, at most `limit` characters, without the password of a URL. For an object it
 *  returns only the kind. */
export function show(value: unknown, limit: number = 80): string {
  if (typeof value === 'string') return `'${cut(oneLine(redact(value)), limit)}'`
  if (value === undefined) return 'nothing'
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value)
  return kindOf(value)
}

/** The kind of a value, for messages that must not quote it. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Hides the user and password of a URL: everything between the first `://` and the last `@`. */
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
