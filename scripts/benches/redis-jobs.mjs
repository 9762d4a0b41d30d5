// A stream of jobs while the supervise process that works them off is killed by -9 again and again: every job is done and
// acknowledged, none is lost; how many were done twice is counted.
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { systemClock } from '../../build/src/base/clock.js'
import { openRedisBus } from '../../build/src/bus/redis.js'
import { spawnClean } from '../../build/src/measure/spawn-clean.js'
import { startServer } from './lib/redis-server.mjs'
import { sleep } from './lib/lanes.mjs'
import { buildResult, claim, figuresOf, tableOf } from './lib/result.mjs'

const BYRE = fileURLToPath(new URL('../../dist/bin.js', import.meta.url))
const JOBS = Number(process.env.BYRE_JOBS ?? 1_000_000)
const KILL_EVERY_MS = 5000
/** The rate at which jobs come: what keeps the run long enough to be killed several times. */
const PER_SECOND = Number(process.env.BYRE_JOBS_PER_SECOND ?? 25_000)
const GROUP = 'jobs'
const WORKER = `import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
export const run = async ({ bus, env, signal }) => {
  const seen = openSync(join(env.SEEN, 'seen-' + process.pid + '-' + Date.now()), 'w')
  let batch = []
  const flush = () => {
    const jobs = batch
    batch = []
    writeSync(seen, Uint32Array.from(jobs, (job) => job.payload)) // done: on disk before it is acknowledged
    // done and not acknowledged yet: what a kill then leaves is done twice
    setTimeout(() => { for (const job of jobs) job.ack().catch(() => {}) }, 5)
  }
  for await (const job of bus.stream('jobs', { signal, concurrency: 200, claimAfter: '2s', maxDeliveries: 1000 })) {
    if (batch.length === 0) setImmediate(flush)
    batch.push(job)
  }
}`

export const describe = `${JOBS} jobs while supervise is killed by -9 every 5 s: none lost, duplicates counted`
export const table = tableOf

export async function run(options) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-jobs-'))
  const server = await startServer(['--appendonly', 'yes', '--appendfsync', 'everysec'])
  const asking = new Redis(server.port, '127.0.0.1')
  const bus = await openRedisBus({
    herd: 'jobs',
    server: { url: server.url },
    messageBytes: 1_048_576,
    buffer: 1000,
    clock: systemClock,
  })
  let host
  try {
    mkdirSync(join(folder, 'seen'))
    writeFileSync(join(folder, 'worker.mjs'), WORKER)
    const config = join(folder, 'byre.config.json')
    const worker = {
      module: './worker.mjs',
      env: { SEEN: join(folder, 'seen') },
      activation: { streams: ['jobs'] },
    }
    writeFileSync(config, JSON.stringify({ name: 'jobs', bus: server.url, workers: { jobs: worker } }))
    host = startHost(options.node, folder, config)
    const since = performance.now()
    const produced = produce(bus)
    let kills = 0
    for (;;) {
      await Promise.race([sleep(KILL_EVERY_MS), once(host, 'exit')])
      if (await isDone(asking)) break
      const gone = once(host, 'exit')
      host.kill('SIGKILL')
      await gone
      kills++
      host = startHost(options.node, folder, config)
      options.note(`${kills} kills, ${Math.round((performance.now() - since) / 1000)} s`)
    }
    await produced
    const tookMs = performance.now() - since
    return report(options, { kills, tookMs, ...(await count(asking, join(folder, 'seen'))) })
  } finally {
    host?.kill('SIGKILL')
    await bus.close()
    asking.disconnect()
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** With no memory of how the last one ended: a kill in the worker's own code would make it suspect. */
function startHost(node, folder, config) {
  const state = mkdtempSync(join(folder, 'state-'))
  const env = { RUNTIME_DIRECTORY: join(folder, 'run'), STATE_DIRECTORY: state }
  const command = [
    node,
    BYRE,
    'supervise',
    '--config',
    config,
    '--log-format',
    'json',
    '--log-level',
    'error',
  ]
  return spawnClean(command, { stdio: ['ignore', 'inherit', 'inherit'], env })
}

/** Every hundredth of a second its share, so that a kill finds the worker at work; resolves when all were accepted. */
async function produce(bus) {
  const share = Math.ceil(PER_SECOND / 100)
  for (let n = 0; n < JOBS; ) {
    const sent = []
    for (; n < JOBS && sent.length < share; n++) sent.push(bus.enqueue('jobs', n))
    await Promise.all([...sent, sleep(10)])
  }
  await bus.enqueue('last', 1)
}

/** All were enqueued, delivered and acknowledged. */
async function isDone(asking) {
  if ((await asking.xlen('byre:{jobs}:jobs:last')) === 0) return false
  const groups = await asking.xinfo('GROUPS', 'byre:{jobs}:jobs:jobs')
  const [newest] = await asking.xrevrange('byre:{jobs}:jobs:jobs', '+', '-', 'COUNT', 1)
  const fields = Object.fromEntries(groups.flatMap((info) => info.map((v, i) => [v, info[i + 1]])))
  return fields['name'] === GROUP && fields['pending'] === 0 && fields['last-delivered-id'] === newest?.[0]
}

async function count(asking, folder) {
  const times = new Uint8Array(JOBS)
  let total = 0
  for (const file of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, file))
    for (const n of new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 4))) {
      times[n] = Math.min(255, times[n] + 1)
      total++
    }
  }
  const lost = times.filter((n) => n === 0).length
  return {
    lost,
    done: total,
    duplicates: total - (JOBS - lost),
    dead: await asking.xlen('byre:{jobs}:jobs:jobs.dead'),
  }
}

function report(options, { kills, tookMs, lost, done, duplicates, dead }) {
  const figures = figuresOf(`${JOBS} jobs`, [
    {
      lostCount: lost,
      deadLetterCount: dead,
      duplicateCount: duplicates,
      doneCount: done,
      killCount: kills,
      tookMs,
    },
  ])
  return buildResult(
    'redis-jobs',
    { ...options, runs: 1 },
    {
      settings: {
        jobs: JOBS,
        perSecond: PER_SECOND,
        killEveryMs: KILL_EVERY_MS,
        concurrency: 200,
        claimAfterMs: 2000,
      },
      figures,
      claims: [claim('jobs lost', figures[0], 0), claim('jobs in the dead-letter stream', figures[1], 0)],
    },
  )
}
