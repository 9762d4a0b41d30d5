// The price of a turn: what a worker in the shared loop pays for what it asks of Node, one worker at work among 17 idle
// ones, in the default config. Beside it the same file in plain Node inside one `AsyncLocalStorage.run`, and in plain Node
// without it. Every workload has fresh processes, one for each lane; after a warm-up they do it in turns, so that
// whatever happens on the machine happens to all.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { summarize } from '../../build/src/measure/stats.js'
import { V8_FLAGS } from './lib/flags.mjs'
import { startByre, startScript } from './lib/hosts.mjs'
import { buildResult, claim, figuresOf, ratioOf, tableOf } from './lib/result.mjs'

const IDLE = 17
const LIMIT_RATIO = 1.25
/** Rounds of one run: so many, or until a lane has worked this long. */
const MAX_ROUNDS = 25
const WORK_MS = 3000
const ANSWER_TIMEOUT_MS = 180_000
const ENV = { BENCH_VALUE: 'x' }

/** [name in workloads.mjs, count, what is counted]. */
const WORKLOADS = [
  ['immediates', 20_000, 'immediates, chained'],
  ['timers', 20_000, 'timers of 1 ms'],
  ['emits', 100_000, 'emits, own listener'],
  ['onces', 20_000, 'once + emit'],
  ['fsCallbacks', 20_000, 'fs.stat, 64 in flight'],
  ['awaits', 100_000, 'awaits'],
  ['requests', 20_000, 'HTTP requests, loopback'],
  ['envReads', 1_000_000, 'reads of process.env.X'],
  ['jsonCalls', 1_000_000, 'JSON.parse(JSON.stringify)'],
  ['dates', 1_000_000, 'Date.now() + new Date()'],
]

/** Lanes by name. `bare` has Node's own flags and malloc; the others have those of `units/byre`. */
const LANES = {
  shared: startShared,
  als: (node, folder, socket) => startPlain(node, socket, ['als'], { flags: V8_FLAGS }),
  plain: (node, folder, socket) => startPlain(node, socket, [], { flags: V8_FLAGS }),
  bare: (node, folder, socket) => startPlain(node, socket, [], { malloc: {} }),
}

export const describe = 'the price of a turn in the shared loop compared with plain Node'

export async function run(options) {
  const results = new Map(WORKLOADS.map(([name]) => [name, []]))
  for (let run = 1; run <= options.runs; run++)
    for (const [name, count] of WORKLOADS) {
      options.note(`run ${run}/${options.runs}: ${name}`)
      results.get(name).push(await runOnce(options.node, name, count))
    }
  return buildResult('hosting', options, {
    settings: {
      idleWorkers: IDLE,
      maxRounds: MAX_ROUNDS,
      workMs: WORK_MS,
      bare: 'no V8 flags, no malloc setting',
    },
    figures: WORKLOADS.flatMap(([name]) => figuresOfWorkload(name, results.get(name))),
    claims: WORKLOADS.map(([name, count, what]) =>
      claim(
        `${count.toLocaleString('en')} ${what}: shared over plain in AsyncLocalStorage.run`,
        figuresOf(`${name}, shared over als`, results.get(name).map(pairedOver('als')))[0],
        LIMIT_RATIO,
      ),
    ),
  })
}

/** One workload in fresh processes: {lane: [{wallMs, cpuMs} of each round]}. */
async function runOnce(node, name, count) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-bench-'))
  const hosts = []
  try {
    const lanes = []
    for (const [lane, start] of Object.entries(LANES)) {
      const socket = join(folder, `${lane}.sock`)
      const host = await start(node, folder, socket)
      hosts.push(host)
      lanes.push({ lane, ask: await openClient(host, socket) })
    }
    for (const { ask } of lanes) await ask({ name, count: count / 10 })
    return await takeTurns(lanes, name)
  } finally {
    for (const host of hosts) await host.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function takeTurns(lanes, name) {
  const rounds = Object.fromEntries(lanes.map(({ lane }) => [lane, []]))
  const workedMs = () =>
    Math.max(...Object.values(rounds).map((of) => of.reduce((sum, r) => sum + r.wallMs, 0)))
  for (let round = 1; round <= MAX_ROUNDS && (round === 1 || workedMs() < WORK_MS); round++) {
    // Every second round goes the other way: no lane always follows the same one.
    const order = round % 2 === 0 ? lanes.toReversed() : lanes
    for (const { lane, ask } of order) rounds[lane].push(await ask({ name }))
  }
  return rounds
}

/** What one run says of a lane: medians of its rounds. */
function medianRound(rounds) {
  const of = (metric) => summarize(rounds.map((round) => round[metric])).median
  return { wallMs: of('wallMs'), cpuMs: of('cpuMs') }
}

/** What one run says of `shared` beside `lane`: the median over rounds that followed each other. */
function pairedOver(lane) {
  return (run) => ({
    pairedRatio: summarize(run.shared.map((r, i) => r.wallMs / run[lane][i].wallMs)).median,
  })
}

function figuresOfWorkload(name, runs) {
  const medians = (lane) => runs.map((run) => medianRound(run[lane]))
  return [
    ...Object.keys(LANES).flatMap((lane) => figuresOf(`${name}, ${lane}`, medians(lane))),
    ...['als', 'plain', 'bare'].flatMap((lane) => [
      ...figuresOf(`${name}, shared over ${lane}`, runs.map(pairedOver(lane))),
      ratioOf(`${name}, shared over ${lane}`, 'cpuMs', medians('shared'), medians(lane)),
    ]),
  ]
}

/** A line for each workload: times, then ratios of paired rounds, of the medians, and of CPU time. */
export function table(result) {
  const medianOf = (lane, metric) => result.figures.find((f) => f.lane === lane && f.metric === metric).median
  const head = ['times', 'what', 'bare', 'plain', 'in ALS', 'shared']
  const ratios = ['shared/ALS', 'of medians', 'of CPU', 'shared/plain', 'shared/bare']
  const rows = WORKLOADS.map(([name, count, what]) => {
    const wall = (lane) => medianOf(`${name}, ${lane}`, 'wallMs')
    const over = (lane, metric = 'pairedRatio') => medianOf(`${name}, shared over ${lane}`, metric)
    return [
      count.toLocaleString('en'),
      what,
      ...['bare', 'plain', 'als', 'shared'].map((lane) => `${wall(lane).toFixed(1)} ms`),
      ...[
        over('als'),
        wall('shared') / wall('als'),
        over('als', 'cpuRatio'),
        over('plain'),
        over('bare'),
      ].map((ratio) => ratio.toFixed(2)),
    ]
  })
  return tableOf(result, [[...head, ...ratios], ...rows])
}

function startPlain(node, socket, args, { flags, malloc }) {
  const script = fileURLToPath(new URL('./hosting/plain.mjs', import.meta.url))
  return startScript(node, script, [socket, ...args], { flags, malloc, env: ENV })
}

function startShared(node, folder, socket) {
  const idle = Array.from({ length: IDLE }, (_, i) => `idle${i + 1}`)
  for (const name of idle)
    copyFileSync(new URL('./hosting/idle.mjs', import.meta.url), join(folder, `${name}.mjs`))
  const measured = {
    module: fileURLToPath(new URL('./hosting/measured.mjs', import.meta.url)),
    ready: 'call',
    config: { socket },
  }
  const workers = { ...Object.fromEntries(idle.map((name) => [name, { module: `./${name}.mjs` }])), measured }
  const config = join(folder, 'byre.config.json')
  writeFileSync(config, JSON.stringify({ name: 'bench', workers }))
  return startByre(node, { folder, config, socket: join(folder, 'control.sock') }, { env: ENV })
}

/** `ask(question)` -> {wallMs, cpuMs}, over one connection that ends with the host. */
async function openClient(host, path) {
  const socket = connect(path)
  const lines = createInterface(socket)[Symbol.asyncIterator]()
  return async (question) => {
    socket.write(`${JSON.stringify(question)}\n`)
    const { value, done } = await withTimeout(lines.next(), host)
    if (done)
      throw new Error(`${host.label} ended at ${question.name}:\n${host.output.slice(-20).join('\n')}`)
    const { error, ...result } = JSON.parse(value)
    if (error !== undefined) throw new Error(`${host.label}, ${question.name}: ${error}`)
    return result
  }
}

function withTimeout(promise, host) {
  let timer
  const late = new Promise((_, reject) => {
    const text = `${host.label} gave no answer in ${ANSWER_TIMEOUT_MS} ms`
    timer = setTimeout(() => reject(new Error(text)), ANSWER_TIMEOUT_MS)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
