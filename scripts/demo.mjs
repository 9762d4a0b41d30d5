// The demo runs the same workers first alone, one process each, and then hosted in one process, and prints the measurements
// next to each other. All its files are in a separate temporary folder, which is removed at the end.

import { execFileSync } from 'node:child_process'
import { setMaxListeners } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startWorld } from '../demo/world.mjs'
import {
  READINGS,
  formatComparison,
  formatFacts,
  formatFootnote,
  formatWork,
  measureTrees,
} from './demo-figures.mjs'
import { byreCommand, problemsOf, readStatus, startByre, stopAll, whenReady } from './demo-herd.mjs'

const USAGE = `usage: scripts/demo [--exit] [--json] [--orders N] [--settle SECONDS]
  --exit     stop everything at the end; exit 1 when a worker did no work or failed (for CI)
  --json     print the figures as one JSON document; implies --exit
  --orders   number of orders per phase, 20 to 1000 (default 60)
  --settle   seconds between the end of the work and the measurement (default 3)
`
const WORK_MS = 60_000
const LEAVE_PER_SECOND = 1

/**
 * @typedef {{ worker: string } | { group: string }} Start
 * @typedef {{ phase: import('./demo-figures.mjs').Phase, problems: string[], end: () => Promise<string[]>, dir: string,
 *   world: import('../demo/world.mjs').World, herd: import('./demo-herd.mjs').Byre[] }} Run
 */

const options = readOptions()
const settleMs = Number(options.settle) * 1000
const stay = !options.exit && !options.json
const say = (/** @type {string} */ text) =>
  void process[options.json ? 'stderr' : 'stdout'].write(`${text}\n`)

const leaving = new AbortController()
setMaxListeners(0, leaving.signal) // Every wait adds a listener.
for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(name, () => leaving.abort(new Error(`stopped by ${name}`)))
}
const top = mkdtempSync(join(tmpdir(), 'byre-demo-'))
/** @type {Run[]} */
const running = []
try {
  process.exitCode = await main()
} catch (error) {
  if (!leaving.signal.aborted) {
    process.stderr.write(`scripts/demo: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  } else process.exitCode = 1 // Interrupted before the end.
} finally {
  for (const run of running) for (const problem of await run.end()) complain(problem)
  rmSync(top, { recursive: true, force: true, maxRetries: 5 })
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        exit: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        orders: { type: 'string', default: '60' },
        settle: { type: 'string', default: '3' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) {
      process.stdout.write(USAGE)
      process.exit(0)
    }
    const settle = Number(values.settle)
    if (!(settle >= 0 && settle <= 600))
      throw new Error(`--settle must be 0 to 600 seconds, got '${values.settle}'`)
    const orders = Number(values.orders)
    // The twentieth webhook is the first dead-lettered one.
    if (!Number.isInteger(orders) || orders < 20 || orders > 1000)
      throw new Error(`--orders must be a whole number from 20 to 1000, got '${values.orders}'`)
    return values
  } catch (error) {
    process.stderr.write(`scripts/demo: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
    process.exit(2)
  }
}

/** @returns {Promise<number>} the exit code */
async function main() {
  const { default: herd, outside } = await import('../demo/byre.config.js')
  /** @param {string} group */
  const membersOf = (group) =>
    Object.keys(herd.workers).filter((name) => (herd.workers[name]?.group ?? herd.defaults?.group) === group)
  const results = []
  /** @type {Run | undefined} */
  let mainRun
  for (const group of /** @type {const} */ (['main', 'reports'])) {
    const workers = membersOf(group)
    say(`Starting the ${workers.length} workers of group ${group} alone, one process each ...`)
    const alone = await runPhase(
      'alone',
      group,
      workers,
      workers.map((worker) => ({ worker })),
    )
    const problems = [...alone.problems, ...(await end(alone))]
    say(`... and hosted in one process by byre supervise --group ${group} ...`)
    const hosted = await runPhase('hosted', group, workers, [{ group }], alone.phase.measuredAfterReadyMs)
    problems.push(...hosted.problems)
    if (group === 'main') mainRun = hosted
    else problems.push(...(await end(hosted)))
    results.push({ group, workers, alone: alone.phase, hosted: hosted.phase, problems })
    say(`\n${formatComparison(`${workers.length} workers of group ${group}`, alone.phase, hosted.phase)}`)
    say(`\n  work done, alone / hosted\n${formatWork(alone.phase, hosted.phase)}`)
    if (group === 'main')
      say(`\n  seen from outside, alone / hosted\n${formatFacts(alone.phase.facts, hosted.phase.facts)}`)
    say('')
  }
  for (const [name, reason] of Object.entries(outside)) say(`${name} is not part of the herd: it ${reason}.`)
  say(`\n${formatFootnote(results, settleMs)}`)
  const problems = results.flatMap((result) => result.problems)
  if (stay && mainRun !== undefined && problems.length === 0) return leaveRunning(mainRun)
  if (mainRun !== undefined) {
    const late = await end(mainRun)
    results[0]?.problems.push(...late)
    problems.push(...late)
  }
  problems.forEach(complain)
  if (options.json)
    process.stdout.write(`${JSON.stringify(asJson(results, problems.length === 0), undefined, 2)}\n`)
  if (problems.length === 0) say('Every worker did its work in both phases, and all stopped cleanly.')
  return problems.length === 0 ? 0 : 1
}

/**
 * Starts the processes, waits until all work is done and measures. The herd keeps running until `end()` stops it.
 * @param {string} label
 * @param {'main' | 'reports'} group
 * @param {string[]} workers
 * @param {Start[]} starts
 * @param {number} [notBeforeMs]  Measures this long after ready at the earliest.
 * @returns {Promise<Run>}
 */
async function runPhase(label, group, workers, starts, notBeforeMs = 0) {
  const { signal } = leaving
  signal.throwIfAborted()
  const dir = join(top, `${group[0]}${label[0]}`) // short: it is part of socket paths
  const world = await startWorld({ dir, feeds: [group] })
  const startedAt = Date.now()
  const herd = starts.map((what) => startByre(dir, world.url, what))
  /** @type {Promise<string[]> | undefined} */
  let ending
  const run = {
    phase: /** @type {any} */ (undefined),
    problems: /** @type {string[]} */ ([]),
    dir,
    world,
    herd,
    end: () => {
      ending ??= stopAll(herd).then(async (problems) => {
        await world.close()
        return problems
      })
      return ending
    },
  }
  running.push(run)

  const readyAt = Math.max(...(await Promise.all(herd.map((byre) => whenReady(byre, signal)))))
  const undone = await whenWorkDone(world, group, workers, signal)
  const rest = Math.max(settleMs, readyAt + notBeforeMs - Date.now() + 1)
  await sleep(rest, undefined, { signal })
  const measuredAt = Date.now()
  const memory = await measureTrees(
    herd.map(({ pid }) => pid),
    signal,
  )
  run.problems.push(...undone)
  for (const byre of herd) {
    const status = await readStatus(byre)
    if (status === undefined) run.problems.push(`${byre.name} no longer answers on its control socket`)
    else run.problems.push(...problemsOf(status))
  }
  run.phase = {
    label,
    memory,
    readyMs: readyAt - startedAt,
    measuredAfterReadyMs: measuredAt - readyAt,
    relayConnections: world.relay.connections(),
    work: Object.fromEntries(workers.map((name) => [name, world.relay.done.get(name) ?? 0])),
    facts: world.facts(),
  }
  return run
}

/**
 * Feeds the same work in each phase and waits until all of it is done and every worker has done some.
 * @param {import('../demo/world.mjs').World} world
 * @param {string} group
 * @param {string[]} workers
 * @param {AbortSignal} signal
 * @returns {Promise<string[]>} the work that was not done in time
 */
async function whenWorkDone(world, group, workers, signal) {
  const idle = () => workers.filter((name) => (world.relay.done.get(name) ?? 0) === 0)
  const done = () => world.fed() && idle().length === 0 && world.unfinished(group).length === 0
  const deadline = Date.now() + WORK_MS
  world.feed(Number(options.orders))
  while (!done() && Date.now() < deadline) await sleep(50, undefined, { signal })
  return [...idle().map((name) => `${name} did no work in ${WORK_MS / 1000} s`), ...world.unfinished(group)]
}

/** @param {Run} run */
async function end(run) {
  running.splice(running.indexOf(run), 1)
  return run.end()
}

/**
 * Shows the status of the running herd and waits for a signal.
 * @param {Run} run
 */
async function leaveRunning(run) {
  run.world.feed(undefined, LEAVE_PER_SECOND)
  const [byre] = run.herd
  if (byre === undefined) throw new Error('there is no supervisor')
  const at = `--socket ${byre.socket}`
  say(
    execFileSync('/usr/bin/env', byreCommand(run.dir, run.world.url, ['status', '--socket', byre.socket]), {
      encoding: 'utf8',
    }),
  )
  say(
    `The herd keeps running (pid ${byre.pid}, ${LEAVE_PER_SECOND} order per second). Try in another terminal:`,
  )
  say(`  units/byre status ${at}`)
  say(`  units/byre restart webhook ${at}`)
  say(`  units/byre wake cleanup ${at}`)
  say('Press Ctrl-C here to stop it and remove its files.')
  await Promise.race([
    new Promise((resolve) => leaving.signal.addEventListener('abort', resolve, { once: true })),
    byre.exit.then(({ code, signal }) => {
      throw new Error(`the herd ended with ${signal ?? `exit code ${code}`}`)
    }),
  ])
  return 0
}

/** @param {any[]} results @param {boolean} ok */
function asJson(results, ok) {
  return {
    version: 1,
    ok,
    node: process.versions.node,
    runs: 1,
    readings: READINGS,
    settleMs,
    groups: results,
  }
}

/** @param {string} problem */
function complain(problem) {
  process.stderr.write(`scripts/demo: ${problem}\n`)
  process.exitCode = 1
}
