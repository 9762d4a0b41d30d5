// Node's own test files, hosted: which of them, and with what result.
import { mkdirSync, readFileSync } from 'node:fs'
import { openBaseline } from './baseline.mjs'
import { hostFiles } from './host.mjs'
import { summarize } from './results.mjs'
import { choose, parseList, shuffle } from './selection.mjs'
import { cacheFolder, listCandidates, nodeTests } from './sources.mjs'

/** Candidates run plainly for each file of a sample; some nine in ten pass. */
const MOST_TRIES = 5

/** The tests and what is known of how they run plainly: `{root, version, baseline}`. Throws SourcesUnavailable. */
export async function openTests(options, note) {
  const cache = cacheFolder()
  mkdirSync(cache, { recursive: true })
  const tests = await nodeTests(cache, note)
  return { ...tests, baseline: openBaseline({ ...options, ...tests, cache, note }) }
}

/** The files to host: all that pass plainly, or the sample of them. Those not yet in the baseline are run plainly. */
export async function selectFiles(placement, { list, only, sample, seed }, { root, baseline }, note) {
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

/** Hosts the files: `{summary, results}`. `onFailure(file, result)` is called for each that fails. */
export async function runPlacement(placement, files, options, { root, baseline }, onFailure) {
  const begin = Date.now()
  const job = { ...options, root, placement, msOf: baseline.msOf }
  const results = await hostFiles(files, job, onFailure)
  const seconds = Math.round((Date.now() - begin) / 1000)
  return { summary: summarize(results, { seconds, root }), results }
}
