// From what the tests of a file reported, plainly and hosted, to what differs. Pure.

const ERROR_CHARS = 300
const NOT_RUN = 'did not run'

/** The result of a run from its JSON lines (workers/suite.mjs); of several lines about a test the last one counts: mocha
 *  may report an error of a test that it has reported as passed. `problem`: what was wrong with the run itself. */
export function readRun(text, problem) {
  const tests = new Map()
  let ended = false
  for (const line of text.split('\n').filter(Boolean)) {
    const { test, ended: end, ...result } = JSON.parse(line)
    if (end) ended = true
    else tests.set(test, result)
  }
  return { tests, ended, ...(problem === undefined ? {} : { problem }) }
}

/** Names of the tests that did not pass in every run. */
export const notPassed = (runs) =>
  [...new Set(runs.flatMap(({ tests }) => [...tests.keys()]))].filter(
    (name) => !runs.every((run) => passed(run, name)),
  )

/** Names of the tests that pass in every run. */
function passedInAll(runs) {
  const [first, ...others] = runs
  return [...first.tests.keys()].filter((name) => [first, ...others].every((run) => passed(run, name)))
}

const passed = ({ tests }, name) => tests.get(name)?.state === 'passed'

/**
 * One file: `plain` and `hosted` are its runs in the order they were made. Counted are the tests that pass in every plain
 * run; one passes hosted when it passes in any hosted run. `aloneOnly`: those that needed the run alone for that.
 */
export function compareFile(plain, hosted) {
  const counted = passedInAll(plain)
  const last = hosted.at(-1)
  const failed = counted.filter((name) => !hosted.some((run) => passed(run, name)))
  const aloneOnly = counted.filter((name) => !failed.includes(name) && !passed(hosted[0], name))
  const differences = failed.map((test) => ({ test, error: errorOf(last, test) }))
  if (plain.every(({ ended }) => ended) && hosted.every((run) => run.problem !== undefined || !run.ended))
    differences.push({ test: '(the run)', error: shorten(last.problem ?? 'did not end') })
  return { of: counted.length, passed: counted.length - failed.length, aloneOnly, differences }
}

function errorOf({ tests }, name) {
  const { state = NOT_RUN, error } = tests.get(name) ?? {}
  return state === 'failed' ? shorten(error ?? 'failed without an error') : state
}

const shorten = (text) => String(text).replace(/\s+/g, ' ').trim().slice(0, ERROR_CHARS)

/** Figures of a package from those of its files: a map file -> compareFile(). */
export function sumUp(files) {
  const sum = { passed: 0, of: 0, files: 0, differences: [], aloneOnly: [] }
  for (const [file, { passed, of, aloneOnly, differences }] of files) {
    sum.files++
    sum.passed += passed
    sum.of += of
    for (const difference of differences) sum.differences.push({ file, ...difference })
    for (const test of aloneOnly) sum.aloneOnly.push({ file, test })
  }
  return sum
}

/** One line for each difference; tests that a run did not come to are one line together. */
export function differenceLines(differences) {
  const missed = differences.filter(({ error }) => error === NOT_RUN)
  const lines = differences
    .filter(({ error }) => error !== NOT_RUN)
    .map(({ test, error }) => `${test}: ${error}`)
  if (missed.length > 0) lines.push(`${missed.length} tests ${NOT_RUN}, the first: ${missed[0].test}`)
  return lines
}
