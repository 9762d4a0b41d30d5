// Chaos: 100 workers, 80 shared and 20 processes, one fault a second in a random one for --duration (10 min). Faults:
// a throw or a held loop in a shared worker; SIGKILL, SIGSTOP for 2 s, a throw or a full heap in a process. Every worker
// is fed a numbered message every 100 ms. What must hold: nobody restarts but by a fault of its own, no run misses a
// number, and the supervisor's private memory stays flat.
//
// Before the run come three times as many faults of the same kinds, and everything five times as fast: V8 compiles what gets
// hot, in 80 modules one after the other, and that is no leak (with --jitless nothing grows; see docs/decisions.md). The claim
// about memory is of the run after it; the growth since the herd was ready, warm-up and all, is printed beside it.
import { mulberry32 } from '../../build/src/measure/bootstrap.js'
import { summarize } from '../../build/src/measure/stats.js'
import { createChaosFiles, NAMES, PROCESSES } from './chaos/files.mjs'
import { growth, startGauge } from './chaos/gauge.mjs'
import { openClerk, readStatus } from './chaos/clerk.mjs'
import { startByre } from './lib/hosts.mjs'
import { sleep, withHost } from './lib/lanes.mjs'
import { buildResult, claim, tableOf } from './lib/result.mjs'

const STOPPED_MS = 2000
/** A fault and a message for everybody this often, and how long a stall lasts. */
const RUN = { faultEveryMs: 1000, messageEveryMs: 100, stallMs: 300 }
const WARM_UP = { faultEveryMs: 200, messageEveryMs: 20, stallMs: 60 }
/** Faults of the warm-up for each of the run. */
const WARM_FACTOR = 3
const NOTE_EVERY = 50
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
      () => startByre(options.node, files, { collect: true, onLine: (line) => noteExit(exits, line) }),
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

/** Warm-up and run; what was done and what came of it. */
async function storm(options, files, host) {
  let done = 0
  const gauge = startGauge(host.channel, () => done)
  const clerk = await openClerk(files.clerkSocket)
  const faults = { throw: 0, stall: 0, kill: 0, stop: 0, oom: 0 }
  /** Faults of each worker that end its run. */
  const ending = new Map(NAMES.map((name) => [name, 0]))
  const random = mulberry32(1) // the same faults in every run
  const how = { options, files, clerk, frozen: new Set(), random, ending, onFault: () => done++ }
  const count = Math.floor(options.durationMs / RUN.faultEveryMs)
  await inflict(how, { phase: 'warm-up', count: count * WARM_FACTOR, pace: WARM_UP, faults: {} })
  await inflict(how, { phase: 'run', count, pace: RUN, faults })
  gauge.stop()
  await sleep(CALM_MS)
  const status = await readStatus(files.socket)
  const census = await clerk.census()
  clerk.close()
  const memory = {
    cold: gauge.between(0, count * WARM_FACTOR),
    warm: gauge.between(count * WARM_FACTOR, Infinity),
  }
  return { faults, warmUp: count * WARM_FACTOR, count, ending, memory, workers: status.workers, census }
}

/** So many faults at such a pace, counted in `faults`. */
async function inflict({ options, random, ending, onFault, ...means }, { phase, count, pace, faults }) {
  await means.clerk.pace(pace.messageEveryMs)
  let dueAt = performance.now()
  for (let i = 1; i <= count; i++) {
    dueAt = Math.max(dueAt + pace.faultEveryMs, performance.now()) // what a held machine missed is not made up for at once
    await sleep(Math.max(0, dueAt - performance.now()))
    const name = NAMES[Math.floor(random() * NAMES.length)]
    const kinds = PROCESSES.has(name) ? PROCESS_FAULTS : SHARED_FAULTS
    const kind = kinds[Math.floor(random() * kinds.length)]
    if (await inject(name, kind, { ...means, stallMs: pace.stallMs })) {
      faults[kind] = (faults[kind] ?? 0) + 1
      if (kind !== 'stall' && kind !== 'stop') ending.set(name, ending.get(name) + 1)
    }
    onFault()
    if (i % NOTE_EVERY === 0) options.note(`${phase}, ${i} of ${count}: ${JSON.stringify(faults)}`)
  }
}

/** Does it to the worker; false when it has no run to do it to. */
async function inject(name, kind, { files, clerk, frozen, stallMs }) {
  if (kind !== 'kill' && kind !== 'stop') return clerk.fault(name, kind, stallMs)
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

function report(options, { faults, warmUp, count, ending, memory, workers, census, exits }) {
  const strangers = workers.filter((worker) => worker.restarts > (ending.get(worker.name) ?? 0))
  const notRunning = workers.filter((worker) => worker.state !== 'running')
  const lost = Object.values(census).reduce((sum, one) => sum + one.missed, 0)
  const received = Object.values(census).reduce((sum, one) => sum + one.received, 0)
  const all = [...memory.cold, ...memory.warm]
  const one = (lane, metric, value) => ({ lane, metric, ...summarize([value]), values: [value] })
  const restarts = one('chaos', 'siblingRestartsCount', strangers.length)
  const missed = one('chaos', 'missedInRunCount', lost)
  const run = growth(memory.warm, count)
  const slope = run === undefined ? [] : [one('supervisor, the run', 'anonGrowthBytes', run)]
  const whole =
    all.length < 2
      ? []
      : [one('supervisor, since ready', 'anonGrowthBytes', all.at(-1).anonBytes - all[0].anonBytes)]
  return buildResult(
    'chaos',
    { ...options, runs: 1 },
    {
      settings: {
        workers: NAMES.length,
        processes: PROCESSES.size,
        durationMs: options.durationMs,
        warmUpFaults: warmUp,
        pace: { warmUp: WARM_UP, run: RUN },
        faults,
      },
      figures: [
        ...Object.entries(faults).map(([kind, count]) => one(`fault ${kind}`, 'injectedCount', count)),
        one('messages', 'receivedCount', received),
        missed,
        restarts,
        one('workers', 'notRunningAtTheEndCount', notRunning.length),
        ...slope,
        ...whole,
        ...Object.entries(memory).flatMap(([phase, readings]) => leftFigure(phase, readings)),
      ],
      claims: [
        claim('workers that restarted without a fault of their own', restarts, 0),
        claim('messages a run of a worker missed', missed, 0),
        ...slope.map((figure) => claim(CLAIM, figure, 1_000_000)),
      ],
      notes: [...strangers, ...notRunning].map(
        ({ name, state, restarts }) =>
          `${name}: ${state}, ${restarts} restarts, ${ending.get(name) ?? 0} faults: ${(exits.get(name) ?? []).join('; ')}`,
      ),
    },
  )
}

const CLAIM =
  'growth of the private memory of the supervisor over the run (least squares, after a collection each 30 s)'

function leftFigure(phase, readings) {
  const values = readings.map(({ anonBytes }) => anonBytes)
  if (values.length === 0) return []
  return { lane: `supervisor, ${phase}`, metric: 'anonAfterCollectionBytes', ...summarize(values), values }
}
