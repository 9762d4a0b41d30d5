// Reads JSON text (RFC 8259) and, when it is not JSON, says where and why: JSON.parse names no line, quotes the source
// (which may hold a secret) and keeps the last of two equal keys without a word.

import { isRecord } from '../base/check.ts'
import { MAX_DEPTH } from './defaults.ts'

export type JsonTextResult =
  | { readonly ok: true; readonly value: unknown }
  /** Line and column count from 1; the column in UTF-16 code units. The reason quotes at most one character. */
  | { readonly ok: false; readonly line: number; readonly column: number; readonly reason: string }

/** Parses `text`. Refuses what JSON.parse refuses, and besides: a key given twice, nesting deeper than MAX_DEPTH. */
export function parseJsonText(text: string): JsonTextResult {
  const scan: Scan = { text, at: 0 }
  try {
    skipSpace(scan)
    scanValue(scan, 1)
    skipSpace(scan)
    if (scan.at < text.length) fail(scan, 'there is more text after the end of the JSON value')
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
  if (depth > MAX_DEPTH) fail(scan, `it is nested deeper than ${MAX_DEPTH} levels`)
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
    if (keys.has(key)) fail(scan, 'the same key is given twice in one object', start)
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

/** After a member: true at the closing bracket, false after a comma that another member follows. */
function endOfList(scan: Scan, close: string): boolean {
  skipSpace(scan)
  if (take(scan, close)) return true
  const comma = scan.at
  if (!take(scan, ',')) fail(scan, `expected ',' or '${close}', ${found(scan)}`)
  skipSpace(scan)
  if (scan.text[scan.at] === close) fail(scan, 'JSON allows no comma after the last entry', comma)
  return false
}

function scanString(scan: Scan): void {
  const { text } = scan
  const start = scan.at++
  for (;;) {
    const code = text.charCodeAt(scan.at)
    if (Number.isNaN(code)) fail(scan, 'a text in double quotes is never closed', start)
    if (code < 0x20)
      fail(scan, 'a line break or control character stands inside a text; write it as an escape such as \\n')
    scan.at++
    if (code === 0x22) return
    if (code !== 0x5c) continue
    const escape = /(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
    escape.lastIndex = scan.at
    if (!escape.test(text)) fail(scan, 'a backslash begins no escape that JSON knows', scan.at - 1)
    scan.at = escape.lastIndex
  }
}

function scanNumber(scan: Scan): void {
  const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
  number.lastIndex = scan.at
  if (!number.test(scan.text)) fail(scan, 'a number is not written as JSON wants it')
  scan.at = number.lastIndex
  if (/[\w.]/.test(scan.text[scan.at] ?? '')) fail(scan, 'a number is not written as JSON wants it')
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
  if (char === undefined) return 'and the text ends'
  if (scan.text.startsWith('//', scan.at) || scan.text.startsWith('/*', scan.at))
    return 'found a comment, which JSON does not allow'
  if (char === "'") return 'found a single quote, where JSON wants double quotes'
  return /[\p{Cc}\p{Cs}\s]/u.test(char) ? 'found a character that cannot be shown' : `found '${char}'`
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
