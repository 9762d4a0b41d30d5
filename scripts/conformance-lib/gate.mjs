// The gate: what part of a sample of Node's own tests has to pass in each placement. A step of scripts/test.
import { openTests, runPlacement, selectFiles } from './node-tests.mjs'
import { PLACEMENTS } from './placements.mjs'
import { failureLine } from './run-command.mjs'

/** The same files each time; nearly the same ones for each placement, so that few have to be run plainly first. */
const SAMPLE = { list: 'all', sample: 60, seed: 'gate' }
/** Least rates; they rise as hosting comes closer to plain Node. In a thread one file of the sample may fail. */
const FLOORS = { process: 0.95, thread: 0.98, shared: 0.88 }

/** Prints TAP, one test for each placement; answers whether all of them hold. Without Debian's sources one is skipped. */
export async function gateCommand(options, { print, note }) {
  const sample = { ...options, ...SAMPLE }
  let tests
  try {
    tests = await openTests(sample, note)
  } catch (error) {
    if (error.code !== 'SOURCES_UNAVAILABLE') throw error
    print(skippedLine(error.message))
    return true
  }
  let holds = true
  for (const [i, placement] of PLACEMENTS.entries()) {
    const files = await selectFiles(placement, sample, tests, note)
    const failed = []
    const { summary } = await runPlacement(placement, files, sample, tests, (file, result) =>
      failed.push(failureLine(file, result)),
    )
    const { ok, line } = gateLine(i + 1, placement, summary)
    print(line)
    if (!ok) for (const text of failed) print(`  ${text}`)
    holds &&= ok
  }
  return holds
}

/** The TAP line of a placement. Pure. @public (tests import it) */
export function gateLine(number, placement, { passed, of, rate, seconds }, floor = FLOORS[placement]) {
  const ok = rate >= floor
  const percent = (part) => `${(part * 100).toFixed(1)} %`
  const title = `Node's own tests in ${placement}: ${passed} of ${of}, ${percent(rate)}, at least ${percent(floor)}`
  return { ok, line: `${ok ? 'ok' : 'not ok'} ${number} - ${title} (${seconds} s)` }
}

/** One line, whatever the reason. Pure. @public (tests import it) */
export const skippedLine = (why) =>
  `ok 1 - Node's own tests # SKIP their sources cannot be had: ${why.replace(/\s+/g, ' ').trim()}`
