// "Which entries reach this file", as a table of 12 bytes per file: the hash of its path and the index of a set of entries. Its
// owner is a process that must not grow, so it keeps no paths.

import { hash53 } from '../base/hash.ts'

/** Plain data: it can be sent to a thread. */
export interface ReachTable {
  /** hash53 of the paths, ascending. */
  readonly hashes: Float64Array
  /** Index in `sets`, in the order of `hashes`. */
  readonly setOf: Uint32Array
  /** Paths of entries, as they were requested; '' for code of the process itself. */
  readonly sets: readonly (readonly string[])[]
}

/** `setOf` has the index of a set for each of `files`. */
export function reachTable(
  files: readonly string[],
  setOf: ArrayLike<number>,
  sets: ReachTable['sets'],
): ReachTable {
  const hashes = files.map(hash53)
  const order = files.map((_, i) => i).sort((a, b) => hashes[a]! - hashes[b]!)
  return {
    hashes: Float64Array.from(order, (i) => hashes[i]!),
    setOf: Uint32Array.from(order, (i) => setOf[i]!),
    sets,
  }
}

/** The entries that reach `file`; undefined for a file that is not in the table. */
export function entriesReaching(
  { hashes, setOf, sets }: ReachTable,
  file: string,
): readonly string[] | undefined {
  const wanted = hash53(file)
  let low = 0
  let high = hashes.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (hashes[middle]! < wanted) low = middle + 1
    else high = middle
  }
  return hashes[low] === wanted ? sets[setOf[low]!] : undefined
}

/** The table as a value of JSON. */
export interface PackedTable {
  readonly hashes: string
  readonly setOf: string
  readonly sets: ReachTable['sets']
}

export function packTable({ hashes, setOf, sets }: ReachTable): PackedTable {
  return { hashes: toBase64(hashes), setOf: toBase64(setOf), sets }
}

export function unpackTable({ hashes, setOf, sets }: PackedTable): ReachTable {
  return { hashes: new Float64Array(fromBase64(hashes)), setOf: new Uint32Array(fromBase64(setOf)), sets }
}

function toBase64({ buffer, byteOffset, byteLength }: Float64Array | Uint32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64')
}

function fromBase64(text: string): ArrayBuffer {
  return Uint8Array.from(Buffer.from(text, 'base64')).buffer
}
