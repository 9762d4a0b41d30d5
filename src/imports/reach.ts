// Which of several starting points reach which nodes of a graph. Pure, integers only.

export interface Reach {
  /** The distinct sets of starting points, each sorted. */
  readonly sets: readonly (readonly number[])[]
  /** Index in `sets`, by node. */
  readonly setOf: Uint32Array
}

/** `imports[v]` are the successors of node v; `roots[i]` are the nodes at which starting point i begins. */
export function reachedFrom(
  imports: readonly (readonly number[])[],
  roots: readonly (readonly number[])[],
): Reach {
  const words = Math.max(1, Math.ceil(roots.length / 32))
  const bits = new Uint32Array(imports.length * words)
  const queued = new Uint8Array(imports.length)
  const queue: number[] = []
  const enqueue = (node: number): void => {
    if (queued[node] === 1) return
    queued[node] = 1
    queue.push(node)
  }
  for (const [i, nodes] of roots.entries())
    for (const node of nodes) {
      bits[node * words + (i >>> 5)]! |= 1 << (i & 31)
      enqueue(node)
    }
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    queued[node] = 0
    for (const next of imports[node]!) if (merge(bits, node * words, next * words, words)) enqueue(next)
  }
  return distinct(bits, words, imports.length)
}

/** Adds the bits at `from` to those at `to`. Returns true if there were new ones. */
function merge(bits: Uint32Array, from: number, to: number, words: number): boolean {
  let changed = false
  for (let i = 0; i < words; i++) {
    const before = bits[to + i]!
    bits[to + i]! |= bits[from + i]!
    changed ||= bits[to + i] !== before
  }
  return changed
}

function distinct(bits: Uint32Array, words: number, size: number): Reach {
  const sets: number[][] = []
  const setOf = new Uint32Array(size)
  const known = new Map<string, number>()
  for (let node = 0; node < size; node++) {
    const own = bits.subarray(node * words, (node + 1) * words)
    const key = own.join()
    let at = known.get(key)
    if (at === undefined) {
      at = sets.push(members(own)) - 1
      known.set(key, at)
    }
    setOf[node] = at
  }
  return { sets, setOf }
}

function members(words: Uint32Array): number[] {
  const found: number[] = []
  for (const [at, word] of words.entries())
    for (let bit = 0; bit < 32; bit++) if ((word & (1 << bit)) !== 0) found.push(at * 32 + bit)
  return found
}
