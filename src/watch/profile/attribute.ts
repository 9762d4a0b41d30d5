// Whose time, whose memory: each node of a sampled call tree is charged to the innermost worker on its stack. Pure.

import type { OwnerOf } from './owners.ts'

/** A node of V8's sampled call tree, made alike for CPU and heap. */
export interface CallNode {
  readonly functionName: string
  readonly url: string
  /** 1 is the first line. */
  readonly line: number
  /** What was sampled in this function itself: microseconds or bytes. */
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
  /** Of everything that was not idle. */
  readonly total: number
  readonly idle: number
  /** By self, largest first. */
  readonly workers: readonly Share[]
  /** byre's own work for nobody in particular. */
  readonly byre: number
  /** V8 and Node themselves: garbage collection, native code outside any function. */
  readonly runtime: number
  /** Code no worker is on the stack of, with its largest places. */
  readonly unattributed: number
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

type Charge = { readonly kind: 'worker'; readonly name: string } | { readonly kind: 'byre' | 'nobody' }

/** `isByre` tells byre's own code: it works for the worker on the stack, else for the herd. */
export function attribute(root: CallNode, ownerOf: OwnerOf, isByre: (url: string) => boolean): Attribution {
  const workers = new Map<string, number>()
  const places = new Map<string, number>()
  const sums = { idle: 0, byre: 0, runtime: 0, unattributed: 0 }
  const stack: { node: CallNode; above: Charge }[] = [{ node: root, above: { kind: 'nobody' } }]
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
  return above.kind === 'nobody' && isByre(node.url) ? { kind: 'byre' } : above
}

function add(sums: Map<string, number>, key: string, value: number): void {
  sums.set(key, (sums.get(key) ?? 0) + value)
}

function bySelf(sums: ReadonlyMap<string, number>): [string, number][] {
  return [...sums].sort((a, b) => b[1] - a[1])
}
