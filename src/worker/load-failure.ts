// Examines a failed load: whether another attempt in the same process can succeed or the code must change first, and
// which file has a syntax error.

import { readFileSync } from 'node:fs'
import { isNativeError } from 'node:util/types'
import { describeThrown } from '../base/errors.ts'
import { modulePath } from '../base/module-path.ts'
import { relativeImports } from '../base/relative-imports.ts'

/** Error codes of Node's loaders that are about a file, a specifier or a package on disk. */
const ABOUT_A_FILE: ReadonlySet<unknown> = new Set([
  'ERR_IMPORT_ASSERTION_TYPE_FAILED',
  'ERR_IMPORT_ASSERTION_TYPE_MISSING',
  'ERR_IMPORT_ASSERTION_TYPE_UNSUPPORTED',
  'ERR_IMPORT_ATTRIBUTE_MISSING',
  'ERR_IMPORT_ATTRIBUTE_TYPE_INCOMPATIBLE',
  'ERR_IMPORT_ATTRIBUTE_UNSUPPORTED',
  'ERR_INVALID_MODULE_SPECIFIER',
  'ERR_INVALID_PACKAGE_CONFIG',
  'ERR_INVALID_PACKAGE_TARGET',
  'ERR_INVALID_TYPESCRIPT_SYNTAX',
  'ERR_MODULE_NOT_FOUND',
  'ERR_PACKAGE_IMPORT_NOT_DEFINED',
  'ERR_PACKAGE_PATH_NOT_EXPORTED',
  'ERR_REQUIRE_ASYNC_MODULE',
  'ERR_REQUIRE_ESM',
  'ERR_UNKNOWN_BUILTIN_MODULE',
  'ERR_UNKNOWN_FILE_EXTENSION',
  'ERR_UNKNOWN_MODULE_FORMAT',
  'ERR_UNSUPPORTED_DIR_IMPORT',
  'ERR_UNSUPPORTED_ESM_URL_SCHEME',
  'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING',
  'ERR_UNSUPPORTED_RESOLVE_REQUEST',
  'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX',
  'MODULE_NOT_FOUND',
])

/** Returns true when `error`, thrown by an import, is about a file on disk, so that another attempt fails too. Never throws. */
export function isAboutAFile(error: unknown): boolean {
  try {
    return ABOUT_A_FILE.has((error as { code?: unknown } | null)?.code) || isSyntaxOfAFile(error)
  } catch {
    return false // A `code` that throws when read does not come from Node.
  }
}

/** Returns true for a SyntaxError that Node's loaders threw for a file, and false for one from JSON.parse, eval, RegExp or
 *  vm. */
export function isSyntaxOfAFile(error: unknown): boolean {
  const { type, stack } = describeThrown(error)
  if (type !== 'SyntaxError' || !isNativeError(error)) return false
  const frames = (stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  // Frames of V8's built-in functions have no file. node:internal/vm compiles for the loaders and for node:vm.
  const thrower = frames.find((frame) => !/\(<anonymous>\)$|\bnode:internal\/vm:/.test(frame))
  return thrower !== undefined && /\bnode:internal\/modules\//.test(thrower)
}

/** Returns `file:line` when V8 reports it in front of the stack, as it does for CommonJS files and missing exports. */
export function placeOfSyntaxError(error: unknown): string | undefined {
  const [, url = '', line] = /^(.+):(\d+)\n/.exec(describeThrown(error).stack ?? '') ?? []
  const path = modulePath(url)
  return path === undefined ? undefined : `${path}:${line}`
}

/** The maximum number of files searched for a syntax error, and the largest file read. */
const FILES_MAX = 200
const SOURCE_MAX_BYTES = 1_000_000
/** Files that Node reads as ES modules without a transformation. */
const ES_MODULE = /\.m?js$/

/** Finds the first ES module with a syntax error among `entry` and the files it reaches by relative imports. Evaluates
 *  nothing. V8 reports the file of such an error only to the terminal. */
export async function findSyntaxError(entry: string): Promise<string | undefined> {
  const found = new Set([entry])
  for (const path of found) {
    const source = ES_MODULE.test(path) ? readSource(path) : undefined
    if (source === undefined || !/\b(?:import|export)\b/.test(source)) continue
    if (await hasSyntaxError(source)) return path
    for (const next of relativeImports(source, path)) if (found.size < FILES_MAX) found.add(next)
  }
  return undefined
}

function readSource(path: string): string | undefined {
  try {
    const source = readFileSync(path, 'utf8')
    return source.length > SOURCE_MAX_BYTES ? undefined : source
  } catch {
    return undefined // The text only looked like an import.
  }
}

async function hasSyntaxError(source: string): Promise<boolean> {
  // V8 compiles the source before Node resolves its imports. The added import cannot be resolved, so the source is never
  // evaluated.
  const text = `${source}\nimport 'byre:none'`
  try {
    await import(`data:text/javascript,${encodeURIComponent(text)}`)
    return false
  } catch (error) {
    return error instanceof SyntaxError
  }
}
