// Which files are whose: from each worker's module along its imports. A file or package that one worker alone reaches is
// that worker's; one that several reach is nobody's, and what it does is charged to the worker on the stack.
//
// Imports are read from the source text: V8 has no list of them. A computed import() is not seen, nor what a package
// imports in turn; both end in the worker on the stack, or in the unattributed part.

import { readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { loadedFrom, modulePath } from '../../base/module-path.ts'

/** The worker (or workers sharing one module, joined) that owns the code at `url`; undefined: nobody alone. */
export type OwnerOf = (url: string) => string | undefined

export interface Member {
  readonly name: string
  readonly modulePath: string
}

/** Files read for one worker at most; beyond it the rest is nobody's. */
const FILES_MAX = 2000
const SOURCE_MAX_BYTES = 1_000_000
const SPECIFIER = /(?:\bfrom|\bimport|\brequire)\s*\(?\s*['"]([^'"\n]{1,512})['"]/g
const EXTENSIONS = ['', '.js', '.mjs', '.cjs', '/index.js']

export function ownersOf(members: readonly Member[]): OwnerOf {
  const byModule = new Map<string, string[]>()
  for (const { name, modulePath } of members) {
    const file = loadedFrom(modulePath)
    byModule.set(file, [...(byModule.get(file) ?? []), name])
  }
  const reachedBy = new Map<string, Set<string>>()
  for (const [modulePath, names] of byModule) {
    const owner = names.join(', ')
    for (const place of reach(modulePath))
      reachedBy.set(place, (reachedBy.get(place) ?? new Set()).add(owner))
  }
  return (url) => {
    const path = modulePath(url)
    if (path === undefined) return undefined
    const reached = reachedBy.get(packageOf(path) ?? path)
    return reached?.size === 1 ? [...reached][0] : undefined
  }
}

/** Files of `entry` and its own imports, and names of the packages they import. */
function reach(entry: string): ReadonlySet<string> {
  const found = new Set([entry])
  const packages = new Set<string>()
  for (const file of found) {
    if (found.size > FILES_MAX) break
    for (const [, specifier = ''] of sourceOf(file).matchAll(SPECIFIER)) {
      if (specifier.startsWith('node:')) continue
      if (!/^(?:\.|\/|file:)/.test(specifier)) packages.add(packageName(specifier))
      else {
        const path = fileAt(
          specifier.startsWith('file:') ? modulePath(specifier) : resolve(dirname(file), specifier),
        )
        if (path !== undefined) found.add(path)
      }
    }
  }
  return new Set([...found, ...packages])
}

function sourceOf(file: string): string {
  try {
    return statSync(file).size > SOURCE_MAX_BYTES ? '' : readFileSync(file, 'utf8')
  } catch {
    return '' // moved away since it was loaded
  }
}

function fileAt(path: string | undefined): string | undefined {
  if (path === undefined) return undefined
  const bare = path.replace(/[?#].*$/, '')
  const found = EXTENSIONS.map((extension) => bare + extension).find(
    (candidate) => statSync(candidate, { throwIfNoEntry: false })?.isFile() === true,
  )
  return found === undefined ? undefined : realFile(found)
}

/** Not `realpathSync` in JavaScript: see base/stat.ts. */
function realFile(path: string): string {
  try {
    return realpathSync.native(path)
  } catch {
    return path // gone this very moment
  }
}

/** The innermost package of a path in node_modules. */
function packageOf(path: string): string | undefined {
  const at = path.lastIndexOf('/node_modules/')
  return at < 0 ? undefined : packageName(path.slice(at + '/node_modules/'.length))
}

function packageName(specifier: string): string {
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? specifier)
}
