// Does a program hosted by byre behave as under plain Node? Node's own test files are the judge: each passes plainly, then
// byre hosts it. Nothing of Node is kept in this repository. See `scripts/conformance --help` and docs/conformance.md.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openBaseline } from './conformance-lib/baseline.mjs'
import { hostFiles } from './conformance-lib/host.mjs'
import { USAGE, parseCommandLine } from './conformance-lib/options.mjs'
import { familyLines, rateLine, summarize } from './conformance-lib/results.mjs'
import { choose, parseList, shuffle } from './conformance-lib/selection.mjs'
import { cacheFolder, listCandidates, nodeTests } from './conformance-lib/sources.mjs'
import { evidenceOf } from './conformance-lib/verdict.mjs'

const EXIT = { ok: 0, failed: 1, usage: 2, unavailable: 69 }
const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Candidates run plainly for each file of a sample; some nine in ten pass. */
const MOST_TRIES = 5
const print = (line) => void process.stdout.write(`${line}\n`)
const note = (line) => void process.stderr.write(`conformance: ${line}\n`)

async function main(argv) {
  let options
  try {
    options = parseCommandLine(argv)
  } catch (error) {
    process.stderr.write(`${error.message}\n${USAGE}`)
    return EXIT.usage
  }
  if (options.command === 'help') {
    process.stdout.write(USAGE)
    return EXIT.ok
  }
  try {
    await COMMANDS[options.command](options)
    return EXIT.ok
  } catch (error) {
    if (error.code !== 'SOURCES_UNAVAILABLE') throw error
    note(`Node's test files cannot be had: ${error.message}`)
    return EXIT.unavailable
  }
}

const COMMANDS = { run: runCommand, baseline: baselineCommand }

async function openTests(options) {
  const cache = cacheFolder()
  const tests = await nodeTests(cache, note)
  return { ...tests, baseline: openBaseline({ ...options, ...tests, cache, note }) }
}

async function baselineCommand(options) {
  const { root, baseline } = await openTests(options)
  const files = listCandidates(root)
  await baseline.probe(files, 'thread')
  const count = (placement) => files.filter((file) => baseline.passes(file, placement)).length
  const figures = `${files.length} candidates, ${count('process')} pass plainly, ${count('thread')} in a thread`
  print(`${figures} on ${options.nodeVersion}: ${baseline.path}`)
}

async function runCommand(options) {
  const tests = await openTests(options)
  const summaries = {}
  const details = {}
  for (const placement of options.placements) {
    const files = await selectFiles(placement, options, tests)
    const { summary, results } = await runPlacement(placement, files, options, tests)
    summaries[placement] = summary
    details[placement] = Object.fromEntries(results)
  }
  const result = { version: 1, node: options.nodeVersion, tests: tests.version, at: new Date().toISOString() }
  if (options.json)
    writeFileSync(options.json, `${JSON.stringify({ ...result, placements: details }, null, 1)}\n`)
  if (options.save) save({ ...result, placements: summaries })
}

/** The files to host: all that pass plainly, or the sample of them. Those not yet in the baseline are run plainly. */
async function selectFiles(placement, { list, only, sample, seed }, { root, baseline }) {
  const all = listCandidates(root)
  const named =
    list === 'all' ? all : parseList(readFileSync(list, 'utf8')).filter((file) => all.includes(file))
  const wanted = named.filter((file) => only === undefined || file.includes(only))
  const ordered = sample === undefined ? wanted : shuffle(wanted, seed)
  for (let probed = 0; ; ) {
    const { chosen, unknown } = choose(ordered, sample ?? Infinity, (file) =>
      baseline.passes(file, placement),
    )
    if (unknown.length === 0) return chosen
    probed += unknown.length
    if (probed > MOST_TRIES * (sample ?? Infinity))
      throw new Error(`Cannot choose ${sample} files: of ${probed} run plainly only ${chosen.length} pass.`)
    note(`${unknown.length} files are run plainly first`)
    await baseline.probe(unknown, placement)
  }
}

async function runPlacement(placement, files, options, { root, baseline }) {
  const begin = Date.now()
  const job = { ...options, root, placement, msOf: baseline.msOf }
  const onFailure = (file, result) => {
    if (options.verbose)
      print(`- ${file}: ${result.verdict}: ${evidenceOf(result).slice(0, 300).replaceAll('\n', ' ')}`)
  }
  const results = await hostFiles(files, job, onFailure)
  const summary = summarize(results, { seconds: Math.round((Date.now() - begin) / 1000), root })
  print(rateLine(placement, summary))
  if (options.verbose || options.sample === undefined) for (const line of familyLines(summary)) print(line)
  return { summary, results }
}

/** Placements that ran take the place of what they gave before; the others stay. */
function save({ placements, ...result }) {
  const file = join(ROOT, `docs/perf/conformance-node${/^v(\d+)/.exec(result.node)[1]}.json`)
  const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).placements : {}
  const stamp = { node: result.node, tests: result.tests, at: result.at }
  const now = Object.fromEntries(
    Object.entries(placements).map(([name, summary]) => [name, { ...stamp, ...summary }]),
  )
  const merged = { version: 1, name: 'conformance', placements: { ...before, ...now } }
  writeFileSync(file, `${JSON.stringify(merged, null, 1)}\n`)
  note(`wrote ${file}`)
}

// Time limits that were not reached are still pending.
process.exit(await main(process.argv.slice(2)))
