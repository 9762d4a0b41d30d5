// The gate over a tree that does not change, and over one that is 3 % heavier than recorded: whole runs of the command,
// nothing remembered between them but the self-test's verdict. The programs are dependencies of byre itself: pino, and
// typeorm, 3 % of which is more than the tolerance of 64 KiB.
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildResult, claim, figuresOf, tableOf } from './lib/result.mjs'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const UNCHANGED = 'pino'
const HEAVIER = 'typeorm'
/** Checks at the same time: what is gated is memory, which does not depend on the load. */
const LANES = 8
const EXIT_BUDGET = 3
const REGRESSION = 1.03

export const describe =
  'byre audit --check of an unchanged tree, --runs times, and of one that is 3 % heavier'
export const table = tableOf

export async function run(options) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-bench-check-'))
  try {
    const floor = join(folder, 'floor.json')
    const [nodeFlag, cache] = [['--node', options.node ?? process.execPath], join(folder, 'cache')]
    const recorded = await byre(
      [UNCHANGED, HEAVIER, '--update', '--floor', floor, '--proofs', '0', ...nodeFlag],
      cache,
    )
    if (recorded.code !== 0) throw new Error(`Cannot bench: --update failed: ${recorded.stderr}`)
    const lighter = join(folder, 'lighter.json')
    writeFileSync(lighter, JSON.stringify(lightened(JSON.parse(readFileSync(floor, 'utf8')))))
    const check = (entry, file) => async (lane) => {
      const laneCache = join(folder, `cache-${lane}`)
      forget(laneCache)
      const startedAt = performance.now()
      const { code, stdout } = await byre(
        [entry, '--check', '--json', '--floor', file, ...nodeFlag],
        laneCache,
      )
      const { results } = JSON.parse(stdout)
      if (results[0].cached === true) throw new Error('Cannot bench: a check measured nothing')
      const { calibratedBytes } = results[0].floor
      return {
        passCount: code === 0 ? 1 : 0,
        caughtCount: code === EXIT_BUDGET ? 1 : 0,
        floorBytes: calibratedBytes.medianBytes,
        checkMs: performance.now() - startedAt,
      }
    }
    const unchanged = await lanes(options, 'unchanged', options.runs, check(UNCHANGED, floor))
    const heavier = await lanes(
      options,
      'heavier by 3 %',
      Math.ceil(options.runs / 40),
      check(HEAVIER, lighter),
    )
    return resultOf(options, unchanged, heavier)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The same file as if the program had been recorded when it was 3 % smaller. */
function lightened(file) {
  for (const entry of Object.values(file.entries))
    for (const budget of Object.values(entry.budgets))
      budget.calibratedBytes = Math.floor(budget.calibratedBytes / REGRESSION)
  return file
}

/** Results of earlier checks go, the self-test's verdict stays. */
function forget(cache) {
  try {
    const audits = join(cache, 'byre', 'audit')
    for (const name of readdirSync(audits)) if (name.endsWith('.json')) rmSync(join(audits, name))
  } catch {
    // the first check of this lane
  }
}

async function lanes(options, what, total, task) {
  const runs = []
  let next = 0
  const lane = async (id) => {
    while (next < total) {
      next++
      runs.push(await task(id))
      if (runs.length % 20 === 0) {
        const passed = runs.filter((r) => r.passCount === 1).length
        options.note(`${what}: ${runs.length} of ${total}, ${passed} passed`)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(LANES, total) }, (_, id) => lane(id)))
  return runs
}

function byre(words, cache) {
  return new Promise((resolve, reject) => {
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, XDG_CACHE_HOME: cache }
    const child = spawn(process.execPath, [join(ROOT, 'dist/bin.js'), 'audit', ...words], { cwd: ROOT, env })
    const [stdout, stderr] = [[], []]
    child.stdout.on('data', (chunk) => stdout.push(chunk))
    child.stderr.on('data', (chunk) => stderr.push(chunk))
    child.on('error', reject)
    child.on('close', (code) =>
      resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() }),
    )
  })
}

function resultOf(options, unchanged, heavier) {
  const total = (lane, runs, metric) => {
    const value = runs.reduce((sum, r) => sum + r[metric], 0)
    return { lane, metric, n: runs.length, median: value, mad: 0, min: value, max: value, values: [value] }
  }
  const passed = total('unchanged', unchanged, 'passCount')
  const caught = total('heavier by 3 %', heavier, 'caughtCount')
  const floors = unchanged.map((r) => r.floorBytes)
  const spread = { ...total('unchanged', unchanged, 'passCount'), metric: 'spreadBytes' }
  spread.median = spread.min = spread.max = Math.max(...floors) - Math.min(...floors)
  spread.values = [spread.median]
  return buildResult('check', options, {
    settings: { unchanged: UNCHANGED, heavier: HEAVIER, lanes: LANES },
    figures: [
      passed,
      caught,
      spread,
      ...figuresOf('unchanged', unchanged).filter((f) => f.metric === 'floorBytes' || f.metric === 'checkMs'),
    ],
    claims: [
      claim('checks of an unchanged tree that pass', passed, unchanged.length, 'at least'),
      claim('checks of a tree 3 % heavier that fail', caught, heavier.length, 'at least'),
      claim('calibrated floor of all of them, spread', spread, 64 * 1024),
    ],
  })
}
