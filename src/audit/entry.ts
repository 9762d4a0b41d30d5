// Resolves an entry as written on the command line (a file, a package or a bin) to a URL and the way it is loaded.

import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ByreError } from '../base/errors.ts'
import { isRecord } from '../base/check.ts'
import { importStatements } from './import-statements.ts'

export interface Entry {
  /** As the user wrote it; the key of a baseline block. */
  readonly name: string
  readonly url: string
  readonly how: 'import' | 'require'
  /** Set when the entry is a worker of a config: the worker to run with `byre run`. */
  readonly worker?: { readonly name: string; readonly configFile: string }
}

/** Resolves `name` relative to `cwd`: an existing file, else a package (`pkg`, `pkg/sub`), else a bin in
 *  node_modules/.bin. Throws BYRE_AUDIT_ENTRY with the paths it tried. */
export function resolveEntry(name: string, cwd: string): Entry {
  const file = resolve(cwd, name)
  if (isFile(file)) return entryOfFile(name, file)
  const inPackage = /^(?:\.|\/)/.test(name) ? undefined : resolvePackage(name, cwd)
  if (inPackage !== undefined) return entryOfFile(name, inPackage)
  const bin = join(cwd, 'node_modules', '.bin', name)
  if (isFile(bin)) return entryOfFile(name, realpathSync(bin))
  throw new ByreError(
    'BYRE_AUDIT_ENTRY',
    `Cannot audit '${name}': it is not a file, a package or a bin (tried ${file}, a package ` +
      `'${name}' above ${cwd}, and ${bin}). Pass the path of the program's first module.`,
  )
}

/** The entry for `file`; the module system is chosen by Node's rules. */
export function entryOfFile(name: string, file: string): Entry {
  return { name, url: pathToFileURL(realpathSync(file)).href, how: howToLoad(realpathSync(file)) }
}

function howToLoad(file: string): 'import' | 'require' {
  if (/\.(mjs|mts)$/.test(file)) return 'import'
  if (/\.(cjs|cts|json|node)$/.test(file)) return 'require'
  const type = nearestPackage(dirname(file))?.['type']
  if (type === 'module') return 'import'
  if (type === 'commonjs') return 'require'
  // Without a `type` Node detects the module system from the syntax (20.19 and later).
  const source = readFileSync(file, 'utf8')
  const isModule =
    importStatements(source).some((s) => s.kind === 'static' || s.kind === 'reexport') ||
    /^\s*export\s+(?:default|const|let|var|function|class|async|\{)/m.test(source)
  return isModule ? 'import' : 'require'
}

function nearestPackage(folder: string): Record<string, unknown> | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const found = readPackage(at)
    if (found !== undefined || at === dirname(at)) return found
  }
}

function readPackage(folder: string): Record<string, unknown> | undefined {
  const path = join(folder, 'package.json')
  if (!existsSync(path)) return undefined
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** The file that `import 'name'` resolves to from `cwd` (conditions node, import, default), or undefined. */
function resolvePackage(name: string, cwd: string): string | undefined {
  const match = /^((?:@[^/]+\/)?[^/]+)(\/.+)?$/.exec(name)
  if (match === null) return undefined
  const [, packageName, sub] = match
  for (let at = cwd; ; at = dirname(at)) {
    const folder = join(at, 'node_modules', packageName!)
    const manifest = readPackage(folder)
    if (manifest !== undefined) return resolveInPackage(folder, manifest, sub)
    if (at === dirname(at)) return undefined
  }
}

/** Whether a package with this name is installed in a node_modules folder at or above `cwd`. */
export function packageExists(name: string, cwd: string): boolean {
  for (let at = cwd; ; at = dirname(at)) {
    if (existsSync(join(at, 'node_modules', name, 'package.json'))) return true
    if (at === dirname(at)) return false
  }
}

function resolveInPackage(
  folder: string,
  manifest: Record<string, unknown>,
  sub: string | undefined,
): string | undefined {
  const { exports } = manifest
  if (exports !== undefined && exports !== null) {
    const table =
      isRecord(exports) && Object.keys(exports).some((k) => k.startsWith('.')) ? exports : { '.': exports }
    const target = conditional(table[sub === undefined ? '.' : `.${sub}`])
    return target === undefined ? undefined : join(folder, target)
  }
  const main = sub ?? (typeof manifest['main'] === 'string' ? manifest['main'] : 'index.js')
  return [main, `${main}.js`, join(main, 'index.js'), 'index.js']
    .map((path) => join(folder, path))
    .find((path) => isFile(path))
}

function conditional(target: unknown): string | undefined {
  if (typeof target === 'string') return target
  if (Array.isArray(target)) return target.map(conditional).find((t) => t !== undefined)
  if (!isRecord(target)) return undefined
  for (const [condition, value] of Object.entries(target))
    if (['node', 'import', 'module-sync', 'default'].includes(condition)) {
      const found = conditional(value)
      if (found !== undefined) return found
    }
  return undefined
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}
