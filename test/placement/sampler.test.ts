// The outside sampler on real threads and processes, against a second program that reads /proc by itself.
import { spawn } from 'node:child_process'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import type { WorkerConfig } from '../../src/config/types.ts'
import type { WorkerSample, WorkerStatus } from '../../src/herd/status.ts'
import { readLines } from '../helpers/events.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const TRUTH = resolve(dirname(fileURLToPath(import.meta.url)), '../../../scripts/benches/lib/proc-truth.pl')

/** Holds some memory and computes for half of the time. */
const HALF = `
export async function run(ctx) {
  const kept = Array.from({ length: 60 }, () => Buffer.alloc(1e6, 1))
  while (!ctx.signal.aborted) {
    for (const until = performance.now() + 50; performance.now() < until; ) ;
    await new Promise((r) => setTimeout(r, 50))
  }
  return kept.length
}
`
/** Holds its loop longer than the test lasts; not for ever, since nobody ends it when its supervisor was killed. */
const HOG = `
export async function run(ctx) {
  await new Promise((r) => setTimeout(r, 1500))
  for (const until = performance.now() + 40_000; performance.now() < until; ) ;
}
`

async function host(
  t: Test,
  workers: Record<string, string>,
  config: Record<string, WorkerConfig>,
): Promise<Herd> {
  return startHerd(t, { workers, config: { sampler: { interval: '1s' }, workers: config } })
}

interface Point {
  readonly atMs: number
  readonly ticks: number
  readonly rssBytes: number
}

/** What the second program has seen of `pid` so far, and its end. */
function watchTruth(t: Test, pid: number): { points: () => Point[]; ticksPerSecond: () => number } {
  const child = spawn('perl', [TRUTH, '20', String(pid)], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => void child.kill())
  const lines = readLines(child.stdout)
  return {
    ticksPerSecond: () => Number(lines.all[0]),
    points: () =>
      lines.all.slice(1).map((line) => {
        const [atMs, , ticks, rssKb] = line.split(' ').map(Number) as [number, number, number, number]
        return { atMs, ticks, rssBytes: rssKb * 1024 }
      }),
  }
}

/** What the second program read last before `atMs` and first after it. It reads seldom on a busy machine. */
function around(points: readonly Point[], atMs: number): { before: Point; after: Point } {
  const after = points.findIndex((point) => point.atMs >= atMs)
  return { before: points[after - 1]!, after: points[after]! }
}

/** A sample of `worker` whose window begins after `fromMs`. */
async function sampleAfter(herd: Herd, worker: string, fromMs: number): Promise<Required<WorkerSample>> {
  const status = await herd.untilWorker(
    worker,
    ({ sample }) => sample?.at !== undefined && sample.at - (sample.cpuWindowMs ?? 0) > fromMs,
  )
  return status.sample as Required<WorkerSample>
}

t.test('CPU ratio and RSS of a process are within 5 % of what a second program reads', async (t) => {
  const herd = await host(t, { half: HALF }, { half: { placement: 'process' } })
  const { pid } = await herd.worker('half')
  const truth = watchTruth(t, pid!)
  const beganAt = Date.now()
  await herd.untilWorker('half', () => truth.points().length > 5)
  for (let round = 0; round < 3; round++) {
    const sample = await sampleAfter(herd, 'half', beganAt + round * 1000)
    await herd.untilWorker('half', () => truth.points().at(-1)!.atMs > sample.at)
    const from = around(truth.points(), sample.at - sample.cpuWindowMs)
    const to = around(truth.points(), sample.at)
    const ticks = sample.cpuRatio * (sample.cpuWindowMs / 1000) * truth.ticksPerSecond()
    // Both count ticks of 10 ms: each end of the window may be off by one.
    const least = 0.95 * (to.before.ticks - from.after.ticks) - 2
    const most = 1.05 * (to.after.ticks - from.before.ticks) + 2
    t.ok(ticks >= least && ticks <= most, `${ticks} ticks, ${least} to ${most}`)
    const rssOff = Math.abs(sample.rssBytes / to.after.rssBytes - 1)
    t.ok(
      rssOff <= 0.05,
      `RSS ${sample.rssBytes} against ${to.after.rssBytes}: ${(rssOff * 100).toFixed(2)} %`,
    )
    t.ok(sample.rssBytes > 60e6, 'with what it holds')
  }
})

t.test('a starved loop is sampled like any other, and its own word on its heap fades', async (t) => {
  const herd = await host(
    t,
    { hog: HOG, hogThread: HOG },
    {
      hog: { placement: 'process', stopTimeout: '200ms' },
      hogThread: { placement: 'thread', stopTimeout: '200ms' },
    },
  )
  const held = (status: WorkerStatus): boolean =>
    (status.sample?.cpuRatio ?? 0) > 0 && /has not answered/.test(status.sample?.unavailable?.['heap'] ?? '')
  const hog = await herd.untilWorker('hog', held)
  t.ok(hog.rssBytes! > 20e6, 'RSS of the process beside its state')
  t.ok(hog.sample!.pssBytes! > 0)
  t.ok(hog.sample!.ageMs! < 5000, 'a sample of now')
  t.equal(hog.cpu, hog.sample!.cpuRatio)
  const thread = await herd.untilWorker('hogThread', held)
  t.match(thread.sample?.unavailable, { rssBytes: /no memory per thread/ })
  t.notOk('rssBytes' in thread)
  await herd.stop()
})

t.test('the last figures are evidence of a failure, and not those of the next run', async (t) => {
  const text = `
    import { execFileSync } from 'node:child_process'
    export async function run() {
      await new Promise((r) => setTimeout(r, 1500))
      execFileSync('kill', ['-9', String(process.pid)])
    }`
  const herd = await host(
    t,
    { killed: text },
    { killed: { placement: 'process', backoff: { first: '30s', base: '30s' } } },
  )
  const { lastExit, sample, cpu } = await herd.untilWorker('killed', (w) => w.state === 'backing-off')
  t.match(lastExit, { verdict: 'killed', evidence: { lastSample: { rssBytes: Number, cpuMs: Number } } })
  t.same([sample, cpu], [undefined, undefined], 'nothing lives, so nothing is shown')
})

t.test('sampler.enabled: false says so once and shows nothing', async (t) => {
  const idle = `export const run = ({ signal }) => new Promise((r) => signal.addEventListener('abort', r))`
  const herd = await startHerd(t, {
    workers: { a: idle, b: idle },
    config: {
      sampler: { enabled: false },
      workers: { a: { placement: 'process' }, b: { placement: 'thread' } },
    },
  })
  t.equal(herd.matching({ event: 'sampler-off' }).length, 1)
  t.equal((await herd.worker('a')).sample, undefined)
})
