// Whether a module that failed to load can succeed at another attempt in the same process, or has to be changed first.

import { isNativeError } from 'node:util/types'
import { describeThrown } from '../base/errors.ts'
import { modulePath } from '../base/module-path.ts'

/** What Node's loaders throw about a file, a specifier or a package as it is on disk. */
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

/** True when `error`, thrown by an import, is about a file as it is on disk: another attempt fails as well. Never throws. */
export function isAboutAFile(error: unknown): boolean {
  try {
    return ABOUT_A_FILE.has((error as { code?: unknown } | null)?.code) || isSyntaxOfAFile(error)
  } catch {
    return false // a `code` that throws when read is no code of Node's
  }
}

/** A SyntaxError that Node's loaders threw for a file, not JSON.parse, eval, RegExp or vm for what a program computed. */
export function isSyntaxOfAFile(error: unknown): boolean {
  const { type, stack } = describeThrown(error)
  if (type !== 'SyntaxError' || !isNativeError(error)) return false
  const frames = (stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  // V8's own functions have no file, and node:internal/vm compiles for the loaders and for node:vm.
  const thrower = frames.find((frame) => !/\(<anonymous>\)$|\bnode:internal\/vm:/.test(frame))
  return thrower !== undefined && /\bnode:internal\/modules\//.test(thrower)
}

/** `file:line` where V8 says it: in front of the stack, for CommonJS files and missing exports. */
export function placeOfSyntaxError(error: unknown): string | undefined {
  const [, url = '', line] = /^(.+):(\d+)\n/.exec(describeThrown(error).stack ?? '') ?? []
  const path = modulePath(url)
  return path === undefined ? undefined : `${path}:${line}`
}
