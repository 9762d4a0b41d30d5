// The sampler with a copy of /proc and a fake clock: a series ends with its process, and no figure keeps an old value.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { createSampler } from '../../../src/watch/sampler/sampler.ts'
import type { Sampler } from '../../../src/watch/sampler/sampler.ts'
import { fakeClock } from '../../helpers/fake-clock.ts'
import type { FakeClock } from '../../helpers/fake-clock.ts'
import { leakGuard } from '../../helpers/leak-guard.ts'
import { memoryLog } from '../../control/fake-target.ts'

leakGuard(t)

const INTERVAL_MS = 10_000
const PID = 77

interface Figures {
  readonly ticks: number
  /** Mapped and resident pages. */
  readonly sizePages?: number
  readonly pages?: number
  readonly startTicks?: number
  readonly comm?: string
}

interface Stage {
  readonly root: string
  readonly clock: FakeClock
  readonly log: ReturnType<typeof memoryLog>
  readonly sampler: Sampler
  /** Writes the files of process PID. */
  readonly write: (figures: Figures) => void
  readonly writeThread: (tid: number, figures: { cpuNs: number; startTicks?: number }) => void
  end(): void
}

function stage(t: Test, options: { enabled?: boolean; proc?: boolean; auxv?: boolean } = {}): Stage {
  const root = mkdtempSync('/tmp/bp-')
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  const stat = (pid: number, ticks: number, startTicks: number, comm: string): string =>
    `${pid} (${comm}) S 1 1 1 0 -1 0 0 0 0 0 ${ticks} 0 0 0 20 0 7 0 ${startTicks} 0 0\n`
  const put = (path: string, text: string | Buffer): void => {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  if (options.proc !== false) put(`${process.pid}/stat`, stat(process.pid, 1, 1, 'node'))
  if (options.auxv !== false) put('self/auxv', readFileSync('/proc/self/auxv'))
  const clock = fakeClock(1000)
  const log = memoryLog()
  const { enabled = true } = options
  return {
    root,
    clock,
    log,
    sampler: createSampler({ enabled, intervalMs: INTERVAL_MS, clock, log, root }),
    write({ ticks, sizePages = 900, pages = 100, startTicks = 5, comm = 'node' }) {
      put(`${PID}/stat`, stat(PID, ticks, startTicks, comm))
      put(`${PID}/statm`, `${sizePages} ${pages} 50 1 0 40 0\n`)
    },
    writeThread(tid, { cpuNs, startTicks = 5 }) {
      put(`${PID}/task/${tid}/stat`, stat(tid, 0, startTicks, 'node'))
      put(`${PID}/task/${tid}/schedstat`, `${cpuNs} 0 1\n`)
    },
    end: () => rmSync(join(root, String(PID)), { recursive: true }),
  }
}

const process_ = { worker: 'w', kind: 'process' as const, pid: PID }

t.test(
  'CPU is the share of one core between two samples, RSS that of the latest, each with its age',
  async (t) => {
    const { clock, sampler, write } = stage(t)
    write({ ticks: 50, pages: 100 })
    const watch = sampler.watch({ ...process_, launchedAt: clock.monotonic() })
    t.match(watch.read(), { unavailable: { cpuRatio: /no sample/, rssBytes: /no sample/ } })
    clock.advance(1000) // the first sample: since its launch
    t.match(watch.read(), { cpuRatio: 0.5, cpuWindowMs: 1000, rssBytes: 409_600, ageMs: 0, at: 2000 })
    write({ ticks: 300, pages: 200 })
    clock.advance(4000)
    t.match(watch.read(), { cpuRatio: 0.5, rssBytes: 409_600, ageMs: 4000, at: 2000 })
    clock.advance(6000)
    t.match(watch.read(), { cpuRatio: 0.25, cpuMs: 3000, cpuWindowMs: 10_000, rssBytes: 819_200, at: 12_000 })
    watch.close()
    t.equal(clock.armed, 0, 'no timer without a target')
  },
)

t.test('a name with spaces, parentheses and newlines does not move the fields', async (t) => {
  const { clock, sampler, write } = stage(t)
  write({ ticks: 25, comm: 'a) S 1 (b\n9 9' })
  const watch = sampler.watch({ ...process_, launchedAt: clock.monotonic() })
  clock.advance(1000)
  t.match(watch.read(), { cpuRatio: 0.25 })
  watch.close()
})

t.test('a series ends with its process and is not continued by the next process with its pid', async (t) => {
  for (const [how, change] of [
    ['gone', (s: Stage) => s.end()],
    ['being ended', (s: Stage) => s.write({ ticks: 60, sizePages: 0, pages: 0 })],
    ['reused', (s: Stage) => s.write({ ticks: 9000, startTicks: 6 })],
  ] as const) {
    const s = stage(t)
    s.write({ ticks: 50 })
    const watch = s.sampler.watch({ ...process_, launchedAt: s.clock.monotonic() })
    s.clock.advance(1000)
    t.match(watch.read(), { cpuRatio: 0.5 })
    change(s)
    s.clock.advance(INTERVAL_MS)
    const now = watch.read()
    t.notOk(now && ('cpuRatio' in now || 'rssBytes' in now), `${how}: no figure is left`)
    t.match(now?.unavailable, { cpuRatio: 'its process is gone', rssBytes: 'its process is gone' })
    t.match(watch.last(), { cpuRatio: 0.5, ageMs: INTERVAL_MS, at: 2000 }, `${how}: evidence of its end`)
    t.equal(s.clock.armed, 0, `${how}: it is not read any more`)
    t.match(s.log.lines, [{ fields: { event: 'sampler-stopped', worker: 'w' } }], `${how}: one line`)
    watch.close()
  }
})

t.test('a restarted worker begins without the figures of the previous run', async (t) => {
  const { clock, sampler, write } = stage(t)
  write({ ticks: 500 })
  const first = sampler.watch({ ...process_, launchedAt: clock.monotonic() })
  clock.advance(1000)
  first.close()
  const second = sampler.watch({ ...process_, launchedAt: clock.monotonic() })
  t.notOk('cpuRatio' in second.read()!)
  second.close()
})

t.test('a thread has CPU from the scheduler and memory from V8, labelled, and no RSS', async (t) => {
  const { clock, sampler, writeThread } = stage(t)
  let requests = 0
  writeThread(78, { cpuNs: 250e6 })
  const watch = sampler.watch({
    ...process_,
    kind: 'thread',
    tid: 78,
    launchedAt: clock.monotonic(),
    requestHeap: () => requests++,
  })
  clock.advance(1000)
  t.equal(requests, 1)
  t.match(watch.read(), {
    cpuRatio: 0.25,
    unavailable: { rssBytes: /no memory per thread/, heap: /not answered/ },
  })
  watch.heap({ usedBytes: 1, totalBytes: 2, externalBytes: 3, limitBytes: 4 })
  t.match(watch.read(), { heap: { source: 'v8', usedBytes: 1, ageMs: 0 } })
  clock.advance(INTERVAL_MS * 4)
  t.equal(requests, 2, 'a starved loop finds one request, not a queue')
  t.match(watch.read(), { cpuRatio: 0, unavailable: { heap: /its loop has not answered for 40 s/ } })
  t.notOk('heap' in watch.read()!, 'an old report is not shown')
  t.match(
    watch.last(),
    { heap: { usedBytes: 1, limitBytes: 4, ageMs: 40_000 } },
    'as evidence it is, with its age',
  )
  watch.close()
})

t.test('off and unsupported log one line each and read nothing', async (t) => {
  for (const [options, why] of [
    [{ enabled: false }, /sampler.enabled is false/],
    [{ proc: false }, /gone|unsupported/],
  ] as const) {
    const { sampler, log, clock } = stage(t, options)
    for (let i = 0; i < 3; i++) {
      const watch = sampler.watch({ ...process_, launchedAt: 0 })
      t.equal(watch.read(), undefined)
      watch.close()
    }
    t.match(log.lines, [{ fields: { event: 'sampler-off', why } }])
    t.equal(log.lines.length, 1)
    t.equal(clock.armed, 0)
  }
})

t.test('assumed clock ticks are logged', async (t) => {
  const { log, clock, sampler, write } = stage(t, { auxv: false })
  t.match(log.lines, [{ fields: { event: 'sampler-units', ticksPerSecond: 100 } }])
  write({ ticks: 50 })
  const watch = sampler.watch({ ...process_, launchedAt: clock.monotonic() })
  clock.advance(1000)
  t.match(watch.read(), { cpuRatio: 0.5 })
  watch.close()
})

t.test('runs that began together are sampled in one wake-up', async (t) => {
  const { clock, sampler, write } = stage(t)
  write({ ticks: 1 })
  const watches = Array.from({ length: 50 }, () =>
    sampler.watch({ ...process_, launchedAt: clock.monotonic() }),
  )
  t.equal(clock.armed, 1)
  clock.advance(1000)
  t.equal(clock.armed, 1)
  for (const watch of watches) t.match(watch.read(), { ageMs: 0 })
  for (const watch of watches) watch.close()
})
