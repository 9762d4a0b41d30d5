// scripts/conformance packages: prints and saves what the suites of packages say.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../sources.mjs'
import { rateOf } from '../results.mjs'
import { differenceLines, sumUp } from './compare.mjs'
import { prepareSuite } from './prepare.mjs'
import { runPackage } from './run.mjs'
import { MOCHA, SUITES } from './suites.mjs'

/** Runs the suites that `options.packages` names, one after the other. Throws SourcesUnavailable after the others have run. */
export async function packagesCommand(options, { root, print, note }) {
  const cache = cacheFolder()
  mkdirSync(cache, { recursive: true })
  const packages = {}
  let unavailable
  for (const suite of SUITES.filter(({ name }) => options.packages.includes(name))) {
    try {
      packages[suite.name] = await runSuite(suite, cache, options, { print, note })
    } catch (error) {
      if (error.code !== 'SOURCES_UNAVAILABLE') throw error
      note(`${suite.name} cannot be had: ${error.message}`)
      unavailable = error
    }
    if (options.save) save(root, options.nodeVersion, packages, note)
  }
  const result = { version: 1, node: options.nodeVersion, packages }
  if (options.json) writeFileSync(options.json, `${JSON.stringify(result, null, 1)}\n`)
  if (unavailable !== undefined) throw unavailable
}

async function runSuite(suite, cache, { node, nodeVersion, launcher, verbose }, { print, note }) {
  const { folder, version, source } = await prepareSuite(suite, cache, note)
  const begin = Date.now()
  const each = (file, { of, passed, differences }) => {
    if (verbose) print(`  ${file}: ${passed} of ${of}`)
    for (const line of differenceLines(differences)) print(`- ${suite.name} ${file}: ${line}`)
  }
  const sum = sumUp(await runPackage({ suite, folder, node, launcher }, each))
  const seconds = Math.round((Date.now() - begin) / 1000)
  const rate = rateOf(sum.passed, sum.of)
  const alone =
    sum.aloneOnly.length > 0 ? `, ${sum.aloneOnly.length} of them only alone in their process` : ''
  const figures = `${sum.passed} of ${sum.of} tests (${(rate * 100).toFixed(1)} %)${alone}`
  print(`${suite.name} ${version}: ${figures}, ${sum.files} files, ${seconds} s`)
  const runner = suite.runner === 'mocha' ? `mocha ${MOCHA}` : suite.runner
  return { version, source, runner, node: nodeVersion, at: new Date().toISOString(), rate, ...sum, seconds }
}

/** Packages that ran take the place of what they gave before; the others stay. */
function save(root, nodeVersion, packages, note) {
  const file = join(root, `docs/perf/conformance-packages-node${/^v(\d+)/.exec(nodeVersion)[1]}.json`)
  const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : {}
  const merged = { version: 1, name: 'conformance-packages', packages: { ...before, ...packages } }
  writeFileSync(file, `${JSON.stringify(merged, null, 1)}\n`)
  note(`wrote ${file}`)
}
