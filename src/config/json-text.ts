// Parses JSON text (RFC 8259) and reports the place and reason of a syntax error. JSON.parse reports no line, quotes the
// source (which may contain a secret) and silently keeps the last of two equal keys.

import { isRecord } from '../base/check.ts'
import { MAX_DEPTH } from './defaults.ts'

export type JsonTextResult =
  | { readonly ok: true; readonly value: unknown }
  /** Line and column start at 1. The column counts UTF-16 code units. The reason quotes at most one character. */
  | { readonly ok: false; readonly line: number; readonly column: number; readonly reason: string }

/** Parses `text`. Refuses everything that JSON.parse refuses, and also duplicate keys and nesting deeper than MAX_DEPTH. */
export function parseJsonText(text: string): JsonTextResult {
  const scan: Scan = { text, at: 0 }
  try {
    skipSpace(scan)
    scanValue(scan, 1)
    skipSpace(scan)
    if (scan.at < text.length) fail(scan, 'unexpected text after the end of the JSON value')
  } catch (error) {
    if (!isFault(error)) throw error
    return { ok: false, ...position(text, error.at), reason: error.reason }
  }
  return { ok: true, value: JSON.parse(text) as unknown }
}

interface Scan {
  readonly text: string
  at: number
}

interface Fault {
  readonly fault: true
  readonly at: number
  readonly reason: string
}

function isFault(error: unknown): error is Fault {
  return isRecord(error) && error['fault'] === true
}

function fail(scan: Scan, reason: string, at: number = scan.at): never {
  const fault: Fault = { fault: true, at, reason }
  throw fault
}

function scanValue(scan: Scan, depth: number): void {
  if (depth > MAX_DEPTH) fail(scan, `the nesting is deeper than ${MAX_DEPTH} levels`)
  const char = scan.text[scan.at]
  if (char === '{') scanObject(scan, depth)
  else if (char === '[') scanArray(scan, depth)
  else if (char === '"') scanString(scan)
  else if (char === '-' || (char !== undefined && char >= '0' && char <= '9')) scanNumber(scan)
  else scanWord(scan)
}

function scanObject(scan: Scan, depth: number): void {
  const keys = new Set<string>()
  scan.at++
  skipSpace(scan)
  if (take(scan, '}')) return
  for (;;) {
    const start = scan.at
    if (scan.text[start] !== '"') fail(scan, `expected a key in double quotes, ${found(scan)}`)
    scanString(scan)
    const key = JSON.parse(scan.text.slice(start, scan.at)) as string
    if (keys.has(key)) fail(scan, 'duplicate key in an object', start)
    keys.add(key)
    skipSpace(scan)
    if (!take(scan, ':')) fail(scan, `expected ':' after the key, ${found(scan)}`)
    skipSpace(scan)
    scanValue(scan, depth + 1)
    if (endOfList(scan, '}')) return
  }
}

function scanArray(scan: Scan, depth: number): void {
  scan.at++
  skipSpace(scan)
  if (take(scan, ']')) return
  do scanValue(scan, depth + 1)
  while (!endOfList(scan, ']'))
}

/** Called after a member. Returns true at the closing bracket, and false after a comma before another member. */
function endOfList(scan: Scan, close: string): boolean {
  skipSpace(scan)
  if (take(scan, close)) return true
  const comma = scan.at
  if (!take(scan, ',')) fail(scan, `expected ',' or '${close}', ${found(scan)}`)
  skipSpace(scan)
  if (scan.text[scan.at] === close) fail(scan, 'JSON does not allow a comma after the last entry', comma)
  return false
}

function scanString(scan: Scan): void {
  const { text } = scan
  const start = scan.at++
  for (;;) {
    const code = text.charCodeAt(scan.at)
    if (Number.isNaN(code)) fail(scan, 'unterminated string', start)
    if (code < 0x20)
      fail(scan, 'a string contains a line break or control character. Use an escape such as \\n')
    scan.at++
    if (code === 0x22) return
    if (code !== 0x5c) continue
    const escape = /(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
    escape.lastIndex = scan.at
    if (!escape.test(text)) fail(scan, 'invalid escape sequence', scan.at - 1)
    scan.at = escape.lastIndex
  }
}

function scanNumber(scan: Scan): void {
  const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
  number.lastIndex = scan.at
  if (!number.test(scan.text)) fail(scan, 'invalid number')
  scan.at = number.lastIndex
  if (/[\w.]/.test(scan.text[scan.at] ?? '')) fail(scan, 'invalid number')
}

function scanWord(scan: Scan): void {
  for (const word of ['true', 'false', 'null']) {
    if (scan.text.startsWith(word, scan.at) && !/\w/.test(scan.text[scan.at + word.length] ?? '')) {
      scan.at += word.length
      return
    }
  }
  fail(scan, `expected a value, ${found(scan)}`)
}

function skipSpace(scan: Scan): void {
  for (;;) {
    const code = scan.text.charCodeAt(scan.at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
    scan.at++
  }
}

function take(scan: Scan, char: string): boolean {
  if (scan.text[scan.at] !== char) return false
  scan.at++
  return true
}

function found(scan: Scan): string {
  const char = scan.text[scan.at]
  if (char === undefined) return 'found the end of the text'
  if (scan.text.startsWith('//', scan.at) || scan.text.startsWith('/*', scan.at))
    return 'found a comment, which JSON does not allow'
  if (char === "'") return 'found a single quote, where JSON requires double quotes'
  return /[\p{Cc}\p{Cs}\s]/u.test(char) ? 'found an unprintable character' : `found '${char}'`
}

function position(text: string, at: number): { line: number; column: number } {
  let line = 1
  let lineStart = 0
  for (let i = text.indexOf('\n'); i !== -1 && i < at; i = text.indexOf('\n', i + 1)) {
    line++
    lineStart = i + 1
  }
  return { line, column: at - lineStart + 1 }
}
