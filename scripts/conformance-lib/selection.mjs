// Which of Node's test files are counted. Pure.
import { createHash } from 'node:crypto'

/** First words of the names of the files that concern what hosting touches. */
const FAMILIES = [
  'abort(?:controller|signal|ed)',
  'assert',
  'async',
  'child-process',
  'cluster',
  'console',
  'diagnostics',
  'domain',
  'emit',
  'errors?',
  'event-target|eventtarget|events?|nodeeventtarget',
  'exception',
  'exit',
  'fetch',
  'fs-promises',
  'fs-watch',
  'global',
  'http',
  'microtask|queue-microtask',
  'module',
  'net',
  'next-tick',
  'process',
  'promises?',
  'readable|writable|streams?[23]?',
  'ref',
  'require',
  'signal',
  'stderr|stdin|stdio|stdout',
  'tick',
  'timers',
  'uncaught',
  'unhandled',
  'util',
  'vm',
  'worker',
]
const CANDIDATE = new RegExp(
  `^(?:async-hooks/test-.+|parallel/test-(?:${FAMILIES.join('|')})(?:-.*)?)\\.(?:js|mjs|cjs)$`,
)
const LONG_FAMILY = /^(?:child-process|next-tick|fs-watch|fs-promises|queue-microtask|event-target|[a-z]+)/

export const isCandidate = (file) => CANDIDATE.test(file)

/** The group a file is counted in: the first word of its name. */
export const familyOf = (file) =>
  file.startsWith('async-hooks/') ? 'async-hooks' : LONG_FAMILY.exec(file.replace(/^\w+\/test-/, ''))[0]

/** The names of a list file: one a line, `#` begins a comment line. */
export const parseList = (text) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))

/** The files in an order that depends on nothing but the seed and each name: a sample is the beginning of it, so that a file
 *  more or less in the list changes one place of the sample. */
export function shuffle(files, seed) {
  const keyOf = new Map(
    files.map((file) => [file, createHash('sha256').update(`${seed}:${file}`).digest('hex')]),
  )
  return files.toSorted((a, b) => (keyOf.get(a) < keyOf.get(b) ? -1 : 1))
}

/** The first `count` files of `ordered` that pass. `passes(file)` answers undefined where that is not known yet: those that
 *  could be among them are in `unknown`, and `chosen` is final when there are none. */
export function choose(ordered, count, passes) {
  const chosen = []
  const unknown = []
  for (const file of ordered) {
    if (chosen.length + unknown.length >= count) break
    const answer = passes(file)
    if (answer === undefined) unknown.push(file)
    else if (answer) chosen.push(file)
  }
  return { chosen, unknown }
}
