// A worker that holds the shared loop is named while it holds it: the right one, where, and how long, for every way of
// holding it that is known.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import t from 'tap'
import { leakGuard } from '../../helpers/leak-guard.ts'
import { ACTS } from './acts.ts'
import { feedFifo, setOff, startBlockers } from './herd.ts'

leakGuard(t)
t.jobs = 1

/** What a machine that is busy with other work does to a timer comes on top of the limits. */
const machine = monitorEventLoopDelay({ resolution: 10 })
machine.enable()
t.teardown(() => machine.disable())
// The limits themselves (1.5 s, 100 ms) are judged by `scripts/bench stall` on a quiet machine; here it is orders that count.
const NAMED_MS = 5000
const CONFIRMED_MS = 1000

/** The turns of the loop are seen without a hook for each promise (stall/watch.ts). */
const SEES_TURNS = Number(process.versions.node.split('.')[0]) >= 24

for (const [name, act] of Object.entries(ACTS))
  t.test(`${name}: the stall names its worker, where it is, and how long it takes`, async (t) => {
    const herd = await startBlockers(t, { [name]: act }, { worker: { stall: { after: act.after ?? '1s' } } })
    machine.reset()
    const fed = name === 'fs' ? feedFifo(herd) : undefined
    await setOff(herd, name)
    const begun = await herd.line({ event: 'block' })
    const stall = await herd.line({ event: 'stall' })
    const named = act.kind === 'javascript' || SEES_TURNS
    t.match(stall, { level: 50, ...(named ? { worker: name } : {}), kind: act.kind })
    t.ok(Number(stall['blockedMs']) >= (act.after === undefined ? 1000 : 300))
    const own = new RegExp(`workers/${name}\\.mjs$`)
    const within = (limitMs: number, tookMs: number, what: string): void =>
      void t.ok(tookMs <= limitMs + machine.max / 1e6, `${what} ${tookMs} ms`)
    if (act.kind === 'javascript') {
      within(NAMED_MS, Number(stall['time']) - Number(begun['at']), 'named after')
      t.match(stall, { function: act.function, file: act.file ?? own, line: Number, stack: Array })
    } else {
      t.match(stall, { msg: /blocked in native code/, unavailable: { function: String } })
      t.match(stall, named ? { by: 'entered' } : { unavailable: { worker: String } })
    }
    if (act.kind === 'native') {
      const confirmed = await herd.line({ event: 'stall-confirmed', worker: name, bestEffort: true })
      const unblocked = await herd.line({ event: 'unblock' })
      within(CONFIRMED_MS, Number(confirmed['time']) - Number(unblocked['at']), 'confirmed after')
      if (act.function !== undefined) t.match(confirmed, { function: act.function, file: own })
    }
    const over = await herd.line({ event: 'stall-over', worker: name })
    t.ok(Number(over['blockedMs']) >= Number(stall['blockedMs']))
    let seen = await herd.worker(name)
    while (seen.stalls === undefined) seen = await herd.worker(name) // the thread tells the loop after the log
    t.match(seen, {
      stalls: { count: 1, last: { kind: act.kind } },
      failures: 0,
      restarts: 0,
    })
    const ticker = await herd.worker('ticker')
    t.match(ticker, { failures: 0, restarts: 0 })
    t.notOk(ticker.stalls)
    await fed
    t.same(await herd.stop(), { code: 0, signal: null })
  })

t.test('JavaScript that waits for a core is not taken for native code', async (t) => {
  const act = { ...ACTS['sort']!, block: ACTS['sort']!.block.replace('3000', '8000') }
  const herd = await startBlockers(t, { starved: act })
  const core = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]!
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', core, String(herd.pid)], { stdio: 'ignore' })
  const hogs = Array.from({ length: 24 }, () =>
    spawn('taskset', ['--cpu-list', core, 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore' }),
  )
  const ended = Promise.all(hogs.map((hog) => once(hog, 'close')))
  try {
    await setOff(herd, 'starved')
    t.match(await herd.line({ event: 'stall' }), {
      worker: 'starved',
      kind: 'javascript',
      function: act.function,
    })
  } finally {
    for (const hog of hogs) hog.kill('SIGKILL')
    await ended
  }
  await herd.line({ event: 'stall-over' })
  t.same(await herd.stop(), { code: 0, signal: null })
})
