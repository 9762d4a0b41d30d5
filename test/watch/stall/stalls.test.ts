// A worker that blocks the shared loop is reported while it does so: the right worker, the place and the duration, for every
// known way to block a loop.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import t from 'tap'
import { leakGuard } from '../../helpers/leak-guard.ts'
import { ACTS } from './acts.ts'
import { feedFifo, startBlockers, trigger } from './herd.ts'

leakGuard(t)
t.jobs = 1

/** The delay that other work on the machine causes is added to the limits. */
const machine = monitorEventLoopDelay({ resolution: 10 })
machine.enable()
t.teardown(() => machine.disable())
// `scripts/bench stall` checks the real limits (1.5 s, 100 ms) on a quiet machine; these are orders of magnitude.
const NAMED_MS = 5000
const CONFIRMED_MS = 1000

/** Node reports the turns of the loop without a hook for each promise (stall/watch.ts). */
const SEES_TURNS = Number(process.versions.node.split('.')[0]) >= 24

for (const [name, act] of Object.entries(ACTS))
  t.test(`${name}: the stall names its worker, its place and its duration`, async (t) => {
    const herd = await startBlockers(t, { [name]: act }, { worker: { stall: { after: act.after ?? '1s' } } })
    machine.reset()
    const fed = name === 'fs' ? feedFifo(herd) : undefined
    await trigger(herd, name)
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
    while (seen.stalls === undefined) seen = await herd.worker(name) // the thread notifies the loop after it has logged
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

t.test('JavaScript that waits for a core is not mistaken for native code', async (t) => {
  const act = { ...ACTS['sort']!, block: ACTS['sort']!.block.replace('3000', '8000') }
  const herd = await startBlockers(t, { starved: act })
  const core = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]!
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', core, String(herd.pid)], { stdio: 'ignore' })
  const hogs = Array.from({ length: 24 }, () =>
    spawn('taskset', ['--cpu-list', core, 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore' }),
  )
  const ended = Promise.all(hogs.map((hog) => once(hog, 'close')))
  try {
    await trigger(herd, 'starved')
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
