// Chaos: 100 workers, 80 shared and 20 processes, one fault a second in a random one for --duration (10 min). Faults:
// a throw or a held loop in a shared worker; SIGKILL, SIGSTOP for 2 s, a throw or a full heap in a process. Every worker
// is fed a numbered message each 100 ms. What must hold: nobody restarts but by a fault of its own, no run misses a
// number, and the supervisor's private memory stays flat.
import { mulberry32 } from '../../dist/measure/bootstrap.js'
import { summarize } from '../../dist/measure/stats.js'
import { readSmapsRollup } from '../../dist/procfs/smaps-rollup.js'
import { createChaosFiles, NAMES, PROCESSES } from './chaos/files.mjs'
import { openClerk, readStatus } from './chaos/clerk.mjs'
import { startByre } from './lib/hosts.mjs'
import { sleep, withHost } from './lib/lanes.mjs'
import { buildResult, claim, tableOf } from './lib/result.mjs'

const FAULT_EVERY_MS = 1000
const STOPPED_MS = 2000
const SAMPLE_EVERY_MS = 1000
/** What a collection leaves is the lowest of as many samples: V8 and byre collect at least once in that time. */
const SAMPLES_PER_FLOOR = 60
/** Between two faults of the first round. */
const FIRST_EVERY_MS = 400
/** Memory counts from here on. */
const WARM_MS = 60_000
/** After the last fault, for restarts and messages on their way. */
const CALM_MS = 15_000

export const describe =
  'faults at random in 100 workers, one a second: restarts, lost messages, memory of the supervisor'
export const table = tableOf

const SHARED_FAULTS = ['throw', 'stall']
const PROCESS_FAULTS = ['kill', 'stop', 'throw', 'oom']

export async function run(options) {
  const files = createChaosFiles()
  const exits = new Map()
  try {
    return await withHost(
      () => startByre(options.node, files, { onLine: (line) => noteExit(exits, line) }),
      async (host) => report(options, { ...(await storm(options, files, host)), exits }),
    )
  } finally {
    files.remove()
  }
}

/** Why each worker's runs ended, for those that have to be explained. */
function noteExit(exits, line) {
  if (!line.includes('"event":"exit"')) return
  const { worker, verdict, msg } = JSON.parse(line)
  exits.set(worker, [...(exits.get(worker) ?? []), `${verdict} (${msg})`])
}

/** Faults until the time is over; what was done and what came of it. */
async function storm(options, files, host) {
  const clerk = await openClerk(files.clerkSocket)
  const faults = { throw: 0, stall: 0, kill: 0, stop: 0, oom: 0 }
  /** Faults of each worker that end its run. */
  const ending = new Map(NAMES.map((name) => [name, 0]))
  const memory = []
  const frozen = new Set()
  const random = mulberry32(1) // the same faults in every run
  await firstRound(options, clerk, ending)
  const startedAt = performance.now()
  const endAt = startedAt + options.durationMs
  let sampleAt = startedAt + Math.min(WARM_MS, options.durationMs / 4)
  for (let due = startedAt + FAULT_EVERY_MS; due < endAt; due += FAULT_EVERY_MS) {
    await sleep(Math.max(0, due - performance.now()))
    const name = NAMES[Math.floor(random() * NAMES.length)]
    const kinds = PROCESSES.has(name) ? PROCESS_FAULTS : SHARED_FAULTS
    const kind = kinds[Math.floor(random() * kinds.length)]
    if (await inject(name, kind, { files, clerk, frozen })) {
      faults[kind]++
      if (kind !== 'stall' && kind !== 'stop') ending.set(name, ending.get(name) + 1)
    }
    if (performance.now() >= sampleAt) {
      sampleAt += SAMPLE_EVERY_MS
      memory.push({ atMs: performance.now() - startedAt, anonBytes: ownAnonBytes(host.pid) })
      if (memory.length % 10 === 1)
        options.note(`${Math.round((performance.now() - startedAt) / 1000)} s: ${JSON.stringify(faults)}`)
    }
  }
  await sleep(CALM_MS)
  const status = await readStatus(files.socket)
  const census = await clerk.census()
  clerk.close()
  return { faults, ending, memory, workers: status.workers, census }
}

/** Each shared worker is held and throws once before the time runs: V8 compiles the code of a fault when it first comes,
 *  in 80 modules, and that says nothing of what a fault leaves. It does not flatten the slope (RELEASE.md). */
async function firstRound(options, clerk, ending) {
  options.note('first round: every shared worker is held and throws once')
  for (const name of NAMES.filter((one) => !PROCESSES.has(one))) {
    for (const kind of SHARED_FAULTS)
      if (!(await clerk.fault(name, kind))) throw new Error(`no fault for ${name}`)
    ending.set(name, ending.get(name) + 1)
    await sleep(FIRST_EVERY_MS)
  }
}

/** Does it to the worker; false when it has no run to do it to. */
async function inject(name, kind, { files, clerk, frozen }) {
  if (kind !== 'kill' && kind !== 'stop') return clerk.fault(name, kind)
  const status = await readStatus(files.socket)
  const worker = status.workers.find((one) => one.name === name)
  if (worker.state !== 'running' || worker.pid === status.pid || frozen.has(worker.pid)) return false
  process.kill(worker.pid, kind === 'kill' ? 'SIGKILL' : 'SIGSTOP')
  if (kind === 'stop') {
    frozen.add(worker.pid)
    setTimeout(() => {
      frozen.delete(worker.pid)
      try {
        process.kill(worker.pid, 'SIGCONT')
      } catch {} // killed meanwhile
    }, STOPPED_MS)
  }
  return true
}

function ownAnonBytes(pid) {
  const rollup = readSmapsRollup(pid)
  if (!rollup.ok) throw new Error(`Cannot read ${rollup.path}: ${rollup.reason}`)
  return rollup.value.anonBytes
}

function report(options, { faults, ending, memory, workers, census, exits }) {
  const strangers = workers.filter((worker) => worker.restarts > (ending.get(worker.name) ?? 0))
  const notRunning = workers.filter((worker) => worker.state !== 'running')
  const lost = Object.values(census).reduce((sum, one) => sum + one.missed, 0)
  const received = Object.values(census).reduce((sum, one) => sum + one.received, 0)
  const floors = floorsOf(memory)
  const growth = floors.length < 2 ? 0 : slopePerMs(floors) * options.durationMs
  const one = (lane, metric, value) => ({ lane, metric, ...summarize([value]), values: [value] })
  const restarts = one('chaos', 'siblingRestartsCount', strangers.length)
  const missed = one('chaos', 'missedInRunCount', lost)
  const slope = one('supervisor', 'anonGrowthBytes', growth)
  return buildResult(
    'chaos',
    { ...options, runs: 1 },
    {
      settings: { workers: NAMES.length, processes: PROCESSES.size, durationMs: options.durationMs, faults },
      figures: [
        ...Object.entries(faults).map(([kind, count]) => one(`fault ${kind}`, 'injectedCount', count)),
        one('messages', 'receivedCount', received),
        missed,
        restarts,
        one('workers', 'notRunningAtTheEndCount', notRunning.length),
        slope,
        {
          lane: 'supervisor',
          metric: 'anonBytes',
          ...summarize(memory.map((m) => m.anonBytes)),
          values: memory.map((m) => m.anonBytes),
        },
      ],
      claims: [
        claim('workers that restarted without a fault of their own', restarts, 0),
        claim('messages a run of a worker missed', missed, 0),
        claim(
          'growth of what collections leave of the supervisor, over the run (least squares)',
          slope,
          1_000_000,
        ),
      ],
      notes: [...strangers, ...notRunning].map(
        ({ name, state, restarts }) =>
          `${name}: ${state}, ${restarts} restarts, ${ending.get(name) ?? 0} faults: ${(exits.get(name) ?? []).join('; ')}`,
      ),
    },
  )
}

/** The lowest sample of each minute. */
function floorsOf(memory) {
  const floors = []
  for (let i = 0; i + SAMPLES_PER_FLOOR <= memory.length; i += SAMPLES_PER_FLOOR)
    floors.push(memory.slice(i, i + SAMPLES_PER_FLOOR).reduce((a, b) => (b.anonBytes < a.anonBytes ? b : a)))
  return floors
}

/** Least squares. */
function slopePerMs(points) {
  const meanX = points.reduce((sum, p) => sum + p.atMs, 0) / points.length
  const meanY = points.reduce((sum, p) => sum + p.anonBytes, 0) / points.length
  const over = points.reduce((sum, p) => sum + (p.atMs - meanX) * (p.anonBytes - meanY), 0)
  return over / points.reduce((sum, p) => sum + (p.atMs - meanX) ** 2, 0)
}
