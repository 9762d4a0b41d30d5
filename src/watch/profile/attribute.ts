// Attributes a sampled profile to workers: each node of the call tree is charged to the innermost worker on its stack. A file or
// package that only one worker reaches through its imports belongs to that worker; one that several reach belongs to none, and
// its time or memory is charged to the worker on the stack.
//
// Imports are read from the source text, because V8 has no list of them. Computed imports and the imports of packages are not
// seen; their code is charged to the worker on the stack, or counted as unattributed.

import { readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { loadedFrom, modulePath } from '../../base/module-path.ts'

/** A node of V8's sampled call tree, in one shape for CPU and heap. */
export interface CallNode {
  readonly functionName: string
  readonly url: string
  /** 1 is the first line. */
  readonly line: number
  /** Microseconds or bytes sampled in this function itself. */
  readonly self: number
  readonly children: readonly CallNode[]
}

export interface Share {
  readonly worker: string
  readonly self: number
}

export interface Place {
  readonly where: string
  readonly self: number
}

export interface Attribution {
  /** Everything except idle time. */
  readonly total: number
  readonly idle: number
  /** Sorted by `self`, largest first. */
  readonly workers: readonly Share[]
  /** byre's own work outside every worker's context. */
  readonly byre: number
  /** V8 and Node: garbage collection, native code outside any function. */
  readonly runtime: number
  /** Code with no worker on its stack. */
  readonly unattributed: number
  /** The places with the largest unattributed parts, at most 10. */
  readonly places: readonly Place[]
}

const PLACES_MAX = 10
const RUNTIME = [
  '(program)',
  '(garbage collector)',
  '(root)',
  '(V8 API)',
  '(BYTECODE_COMPILER)',
  '(COMPILER)',
  '(PARSER)',
  '(EXTERNAL)',
]

type Charge = { readonly kind: 'worker'; readonly name: string } | { readonly kind: 'byre' | 'none' }

/** `isByre`: whether a URL is byre's own code, which is charged to the worker on the stack, or else to byre. */
export function attribute(root: CallNode, ownerOf: OwnerOf, isByre: (url: string) => boolean): Attribution {
  const workers = new Map<string, number>()
  const places = new Map<string, number>()
  const sums = { idle: 0, byre: 0, runtime: 0, unattributed: 0 }
  const stack: { node: CallNode; above: Charge }[] = [{ node: root, above: { kind: 'none' } }]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node, above } = next
    const charge = chargeOf(node, above, ownerOf, isByre)
    for (const child of node.children) stack.push({ node: child, above: charge })
    if (node.self === 0) continue
    if (node.functionName === '(idle)') sums.idle += node.self
    else if (charge.kind === 'worker') add(workers, charge.name, node.self)
    else if (RUNTIME.includes(node.functionName)) sums.runtime += node.self
    else if (charge.kind === 'byre') sums.byre += node.self
    else {
      sums.unattributed += node.self
      add(
        places,
        `${node.functionName === '' ? '(anonymous)' : node.functionName} ${node.url}:${node.line}`,
        node.self,
      )
    }
  }
  const shares = bySelf(workers).map(([worker, self]) => ({ worker, self }))
  const charged = shares.reduce((sum, { self }) => sum + self, 0)
  return {
    ...sums,
    total: charged + sums.byre + sums.runtime + sums.unattributed,
    workers: shares,
    places: bySelf(places)
      .slice(0, PLACES_MAX)
      .map(([where, self]) => ({ where, self })),
  }
}

function chargeOf(node: CallNode, above: Charge, ownerOf: OwnerOf, isByre: (url: string) => boolean): Charge {
  const name = ownerOf(node.url)
  if (name !== undefined) return { kind: 'worker', name }
  return above.kind === 'none' && isByre(node.url) ? { kind: 'byre' } : above
}

function add(sums: Map<string, number>, key: string, value: number): void {
  sums.set(key, (sums.get(key) ?? 0) + value)
}

function bySelf(sums: ReadonlyMap<string, number>): [string, number][] {
  return [...sums].sort((a, b) => b[1] - a[1])
}

/** The worker that owns the code at `url`, or the joined names of workers that share one module; undefined without an owner. */
export type OwnerOf = (url: string) => string | undefined

export interface Member {
  readonly name: string
  readonly modulePath: string
}

/** Maximum number of files read for one worker; files beyond that have no owner. */
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

/** The files that `entry` reaches through relative imports, and the names of the packages they import. */
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
    return '' // moved or deleted since it was loaded
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
    return path // deleted meanwhile
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
