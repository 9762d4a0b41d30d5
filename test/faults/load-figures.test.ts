// `load` of a worker in the status: its own time and memory in every placement, or the reason why they are not known.
import t from 'tap'
import type { WorkerConfig } from '../../src/config/types.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const RUN = `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))\n`
/** Takes 60 ms and 30 MB to load. */
const HEAVY = `globalThis.kept = Buffer.alloc(30e6, 1)\nawait new Promise((resolve) => setTimeout(resolve, 60))\n${RUN}`
/** Takes much longer and more while another module loads. */
const BUSY = `${RUN}globalThis.more = []
setInterval(() => { for (const end = performance.now() + 20; performance.now() < end; ) ; more.push(Buffer.alloc(5e6, 1)) }, 25)`

type Load = NonNullable<Awaited<ReturnType<Herd['worker']>>['load']>

/** What the status says of a heavy worker that is woken when the others run. */
async function loadOf(herd: Herd): Promise<Load> {
  await herd.act('heavy', 'wake')
  const { load } = await herd.untilWorker('heavy', ({ state }) => state === 'running')
  return load!
}

const lazy = (placement: 'shared' | 'thread' | 'process'): WorkerConfig => ({
  placement,
  activation: { topics: ['never'] },
})

const own = (load: Load): boolean => load.ms! >= 55 && load.ms! < 1000 && load.rssBytes! > 25e6

t.test('alone in the loop', async (t) => {
  const herd = await startHerd(t, {
    workers: { heavy: HEAVY, asleep: RUN },
    config: { workers: { heavy: lazy('shared'), asleep: lazy('shared') } },
  })
  const load = await loadOf(herd)
  t.ok(own(load), JSON.stringify(load))
  await herd.act('heavy', 'restart')
  const { load: after } = await herd.untilWorker(
    'heavy',
    ({ state, restarts }) => state === 'running' && restarts === 1,
  )
  t.same(after, load, 'a restart loads nothing: they stay')
})

t.test('beside a worker that runs in the loop', async (t) => {
  const herd = await startHerd(t, {
    workers: { heavy: HEAVY, busy: BUSY },
    config: { workers: { heavy: lazy('shared') } },
  })
  const reason = 'busy ran or loaded in the same loop meanwhile'
  t.same(await loadOf(herd), { unavailable: { ms: reason, rssBytes: reason } })
})

t.test('of workers that load at the same time', async (t) => {
  const herd = await startHerd(t, { workers: { one: HEAVY, two: HEAVY } })
  for (const [name, other] of [
    ['one', 'two'],
    ['two', 'one'],
  ] as const) {
    const { load } = await herd.worker(name)
    const reason = `${other} ran or loaded in the same loop meanwhile`
    t.same(load, { unavailable: { ms: reason, rssBytes: reason } }, name)
  }
})

t.test('beside a thread, which shares the memory and not the loop', async (t) => {
  const herd = await startHerd(t, {
    workers: { heavy: HEAVY, busy: BUSY },
    config: { workers: { heavy: lazy('shared'), busy: { placement: 'thread' } } },
  })
  const { ms, ...rest } = await loadOf(herd)
  t.ok(ms! >= 55, `${ms} ms`)
  t.same(rest, { unavailable: { rssBytes: 'busy was in a thread of the same process' } })
})

t.test('in a thread: its time, and no memory', async (t) => {
  const herd = await startHerd(t, {
    workers: { heavy: HEAVY, busy: BUSY },
    config: { workers: { heavy: lazy('thread') } },
  })
  const { ms, ...rest } = await loadOf(herd)
  t.ok(ms! >= 55, `${ms} ms`)
  t.match(rest, { unavailable: { rssBytes: /^a thread has no memory of its own/ } })
  t.notOk('rssBytes' in rest)
})

t.test('in a process: both, whatever the others do', async (t) => {
  const herd = await startHerd(t, {
    workers: { heavy: HEAVY, busy: BUSY },
    config: { workers: { heavy: lazy('process') } },
  })
  const load = await loadOf(herd)
  t.ok(own(load), JSON.stringify(load))
})

t.test('of a script nothing is known', async (t) => {
  const herd = await startHerd(t, {
    files: { 'workers/heavy.mjs': 'setInterval(() => {}, 1000)' },
    config: {
      workers: { heavy: { module: undefined, script: './workers/heavy.mjs', ...lazy('process') } as never },
    },
  })
  t.match(await loadOf(herd), { unavailable: { ms: /^a script/, rssBytes: /^a script/ } })
})
