// Resolves specifiers as Node does, by Node's own two resolvers. In the child only: it needs a flag of Node, and caches much.

import { createRequire, isBuiltin } from 'node:module'
import { dirname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { modulePath } from '../base/module-path.ts'
import { isFile } from './files.ts'
import type { ImportMode } from './parse.ts'

export type ResolveImport = (specifier: string, from: string, mode: ImportMode) => string | undefined

/** What a loader for TypeScript tries where Node finds no file. */
const INSTEAD: readonly (readonly [end: RegExp, ...instead: string[]])[] = [
  [/\.js$/, '.ts', '.tsx', '.jsx'],
  [/\.mjs$/, '.mts'],
  [/\.cjs$/, '.cts'],
  [/$/, '.ts', '.tsx', '.js', '/index.ts', '/index.js'],
]

/** With `--experimental-import-meta-resolve`, without which `import.meta.resolve` ignores its second argument. */
export function createResolver(): ResolveImport {
  const known = new Map<string, string | undefined>()
  return (specifier, from, mode) => {
    if (isBuiltin(specifier)) return undefined
    const key = `${dirname(from)}\0${mode}\0${specifier}`
    if (known.has(key)) return known.get(key)
    const file = resolveByNode(specifier, from, mode)
    const found = file !== undefined && isFile(file) ? file : tryInstead(specifier, from)
    known.set(key, found)
    return found
  }
}

/** The file that an import of `path` loads: its target if it is a link, unless Node runs with --preserve-symlinks. */
export function fileAt(path: string): string {
  try {
    return modulePath(import.meta.resolve(pathToFileURL(path).href)) ?? path
  } catch {
    return path
  }
}

function resolveByNode(specifier: string, from: string, mode: ImportMode): string | undefined {
  try {
    return mode === 'require'
      ? createRequire(from).resolve(specifier)
      : modulePath(import.meta.resolve(specifier, pathToFileURL(from).href))
  } catch {
    return undefined // not installed, not exported
  }
}

function tryInstead(specifier: string, from: string): string | undefined {
  if (!/^\.{0,2}\//.test(specifier)) return undefined
  const path = resolve(dirname(from), specifier)
  for (const [end, ...instead] of INSTEAD) {
    if (!end.test(path)) continue
    const found = instead.map((extension) => path.replace(end, extension)).find(isFile)
    if (found !== undefined) return fileAt(found)
  }
  return undefined
}
