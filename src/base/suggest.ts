// "Did you mean ...?" for an unknown word: the nearest known word by edit distance. Also the check for unknown keys in the
// options of a call.

import type { Problem } from './errors.ts'

/** The longest word and the largest number of words compared: these bound the cost of a suggestion. */
const MAX_WORD = 64
const MAX_CANDIDATES = 10_000

/** Returns the candidate nearest to `word`, or undefined when none is near. A near candidate has at most one edit per
 *  `lettersPerEdit` letters, and at most three edits. An edit is an inserted, missing or replaced letter, or two adjacent
 *  letters swapped; case is ignored. Of several equally near candidates the first is returned. */
export function suggest(
  word: string,
  candidates: Iterable<string>,
  lettersPerEdit: number = 3,
): string | undefined {
  if (word.length === 0 || word.length > MAX_WORD) return undefined
  let limit = Math.min(3, Math.floor(word.length / lettersPerEdit))
  const wanted = word.toLowerCase()
  let best: string | undefined
  let compared = 0
  for (const candidate of candidates) {
    if (++compared > MAX_CANDIDATES) break
    if (candidate.length > MAX_WORD || Math.abs(candidate.length - word.length) > limit) continue
    const distance = editDistance(wanted, candidate.toLowerCase(), limit)
    if (distance > limit) continue
    best = candidate
    limit = distance - 1
    if (limit < 0) break
  }
  return best
}

/** Returns `; did you mean 'x'?` for the end of a message, or an empty text when no candidate is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const near = suggest(word, candidates)
  return near === undefined ? '' : `; did you mean '${near}'?`
}

/** The maximum number of unknown keys reported for one call. */
const MAX_KEYS = 20

/** Returns the problems of the options of a call: not an object, or at most 20 unknown keys. Absent options (undefined,
 *  null) have no problems. `path` is the path of the options, '' for the whole input. */
export function unknownKeys(options: unknown, known: readonly string[], path: string = ''): Problem[] {
  if (options === undefined || options === null) return []
  if (typeof options !== 'object' || Array.isArray(options))
    return [
      { path, message: `must be an object, got ${Array.isArray(options) ? 'an array' : typeof options}` },
    ]
  const problems: Problem[] = []
  // Includes inherited keys, which are read like own ones.
  for (const key in options) {
    if (known.includes(key)) continue
    const near = didYouMean(key, known) || `; known keys are ${known.join(', ')}`
    const shown = key.length <= MAX_WORD ? key : `${key.slice(0, MAX_WORD)}...`
    problems.push({ path: path === '' ? shown : `${path}.${shown}`, message: `unknown key${near}` })
    if (problems.length >= MAX_KEYS) break
  }
  return problems
}

/** The optimal string alignment distance (Damerau-Levenshtein without substring edits), or limit + 1 when it is larger.
 *  Only the band of 2 * limit + 1 cells around the diagonal can hold a distance within the limit (Ukkonen 1985). */
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
