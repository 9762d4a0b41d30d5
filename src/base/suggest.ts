// "Did you mean ...?" for a word that is in no list: the nearest known word by edit distance. And the lists of words that
// calls take: the keys of their options.

import type { Problem } from './errors.ts'

/** Longest word compared and most words looked at: what bounds the cost of one suggestion. */
const MAX_WORD = 64
const MAX_CANDIDATES = 10_000

/** The candidate nearest to `word`, or undefined when none is near: at most one of `lettersPerEdit` letters (and at most
 *  three) inserted, left out, replaced or swapped with their neighbour; case counts as no difference. The first
 *  of several equally near ones. */
export function suggest(
  word: string,
  candidates: Iterable<string>,
  lettersPerEdit: number = 3,
): string | undefined {
  if (word.length === 0 || word.length > MAX_WORD) return undefined
  let limit = Math.min(3, Math.floor(word.length / lettersPerEdit))
  const wanted = word.toLowerCase()
  let best: string | undefined
  let looked = 0
  for (const candidate of candidates) {
    if (++looked > MAX_CANDIDATES) break
    if (candidate.length > MAX_WORD || Math.abs(candidate.length - word.length) > limit) continue
    const distance = editDistance(wanted, candidate.toLowerCase(), limit)
    if (distance > limit) continue
    best = candidate
    limit = distance - 1
    if (limit < 0) break
  }
  return best
}

/** `, did you mean 'x'?` or nothing: the tail of a message. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const near = suggest(word, candidates)
  return near === undefined ? '' : `; did you mean '${near}'?`
}

/** Most unknown keys named at once. */
const MAX_KEYS = 20

/** Everything wrong with the options of a call as a whole: no object, or keys that mean nothing there, at most 20.
 *  Absent options (undefined, null) are none. `path` is where the options stand, '' when they are the whole. */
export function unknownKeys(options: unknown, known: readonly string[], path: string = ''): Problem[] {
  if (options === undefined || options === null) return []
  if (typeof options !== 'object' || Array.isArray(options))
    return [
      { path, message: `must be an object, got ${Array.isArray(options) ? 'an array' : typeof options}` },
    ]
  const problems: Problem[] = []
  // inherited ones too: they are read as if they were own
  for (const key in options) {
    if (known.includes(key)) continue
    const near = didYouMean(key, known) || `; known are ${known.join(', ')}`
    const shown = key.length <= MAX_WORD ? key : `${key.slice(0, MAX_WORD)}...`
    problems.push({ path: path === '' ? shown : `${path}.${shown}`, message: `unknown key${near}` })
    if (problems.length >= MAX_KEYS) break
  }
  return problems
}

/** Optimal string alignment distance (Damerau-Levenshtein without substring edits); limit + 1 when it is larger. Only
 *  the band of 2 * limit + 1 cells around the diagonal can hold a distance within the limit (Ukkonen 1985). */
function editDistance(a: string, b: string, limit: number): number {
  const far = limit + 1
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => Math.min(j, far))
  for (let i = 1; i <= a.length; i++) {
    const row = Array.from({ length: b.length + 1 }, () => far)
    row[0] = Math.min(i, far)
    let least = row[0]
    for (let j = Math.max(1, i - limit); j <= Math.min(b.length, i + limit); j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, beforeLast[j - 2]! + 1)
      }
      row[j] = Math.min(cost, far)
      least = Math.min(least, row[j]!)
    }
    if (least >= far) return far
    beforeLast = last
    last = row
  }
  return last[b.length]!
}
