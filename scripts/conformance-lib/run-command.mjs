// scripts/conformance run and baseline.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openTests, runPlacement, selectFiles } from './node-tests.mjs'
import { familyLines, rateLine } from './results.mjs'
import { listCandidates } from './sources.mjs'
import { evidenceOf } from './verdict.mjs'

const WHY_CHARS = 300

/** `print` and `note` write a line to the standard output and the standard error. */
export async function baselineCommand(options, { print, note }) {
  const { root, baseline } = await openTests(options, note)
  const files = listCandidates(root)
  await baseline.probe(files, 'thread')
  const count = (placement) => files.filter((file) => baseline.passes(file, placement)).length
  const figures = `${files.length} candidates, ${count('process')} pass plainly, ${count('thread')} in a thread`
  print(`${figures} on ${options.nodeVersion}: ${baseline.path}`)
}

export async function runCommand(options, { root, print, note }) {
  const tests = await openTests(options, note)
  const summaries = {}
  const details = {}
  for (const placement of options.placements) {
    const files = await selectFiles(placement, options, tests, note)
    const { summary, results } = await runPlacement(placement, files, options, tests, (file, result) => {
      if (options.verbose) print(failureLine(file, result))
    })
    print(rateLine(placement, summary))
    if (options.verbose || options.sample === undefined) for (const line of familyLines(summary)) print(line)
    summaries[placement] = summary
    details[placement] = Object.fromEntries(results)
  }
  const result = { version: 1, node: options.nodeVersion, tests: tests.version, at: new Date().toISOString() }
  if (options.json)
    writeFileSync(options.json, `${JSON.stringify({ ...result, placements: details }, null, 1)}\n`)
  if (options.save) save(root, { ...result, placements: summaries }, note)
}

export const failureLine = (file, result) =>
  `- ${file}: ${result.verdict}: ${evidenceOf(result).slice(0, WHY_CHARS).replaceAll('\n', ' ')}`

/** Placements that ran take the place of what they gave before; the others stay. */
function save(root, { placements, ...result }, note) {
  const file = join(root, `docs/perf/conformance-node${/^v(\d+)/.exec(result.node)[1]}.json`)
  const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).placements : {}
  const stamp = { node: result.node, tests: result.tests, at: result.at }
  const now = Object.fromEntries(
    Object.entries(placements).map(([name, summary]) => [name, { ...stamp, ...summary }]),
  )
  const merged = { version: 1, name: 'conformance', placements: { ...before, ...now } }
  writeFileSync(file, `${JSON.stringify(merged, null, 1)}\n`)
  note(`wrote ${file}`)
}
