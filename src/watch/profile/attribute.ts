// Attributes a sampled profile to workers: each node of the call tree is charged to the innermost worker on its stack. A file
// that only one worker reaches through its imports belongs to that worker; one that several reach belongs to none, and its time
// or memory is charged to the worker on the stack.

import { modulePath } from '../../base/module-path.ts'
import { workersAt } from '../../ownership/stack.ts'
import type { StackOwners } from '../../ownership/stack.ts'

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

/** `only`: the worker that has the loop to itself. */
export function ownersOf(owners: StackOwners, only?: string): OwnerOf {
  return (url) => {
    const path = modulePath(url)
    if (path === undefined) return undefined
    if (only !== undefined) return path.startsWith(owners.ownRoot) ? undefined : only
    return workersAt(path, owners).join(', ') || undefined
  }
}
