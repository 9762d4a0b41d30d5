// A group over its memoryHigh asks memory back: collections, then idle processes and threads, then the largest is named,
// and moved out where its config says so; siblings go on. memoryHigh is 1 MiB here, so that it is always over.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const IDLE = `
export async function run(ctx) {
  for await (const { payload } of ctx.bus.subscribe('job.' + ctx.name)) console.log('took ' + payload.n)
}`
const FEEDER = `
export async function run(ctx) {
  for (const name of ['p', 't', 'stays']) await ctx.bus.publish('job.' + name, { n: 1 })
  for await (const { payload } of ctx.bus.subscribe('again'))
    for (const name of ['p', 't']) await ctx.bus.publish('job.' + name, payload)
}`
/** Keeps 2 MB of its own every 50 ms. */
const LEAK = `
export async function run(ctx) {
  const kept = []
  ctx.every(50, () => void (kept.length < 100 && kept.push(new Array(250_000).fill(kept.length + 0.5))), { jitter: 0 })
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`

t.test(
  'collects, puts idle processes and threads to sleep, names the worker that leaks in the loop and ejects it',
  async (t) => {
    const lazy = (placement: 'process' | 'thread') =>
      ({ placement, sleepAfter: '1h', activation: { topics: [`job.${placement[0]}`] } }) as const
    const herd = await startHerd(t, {
      workers: { p: IDLE, t: IDLE, stays: IDLE, feeder: FEEDER, leak: LEAK },
      config: {
        groups: { default: { memoryHigh: '1MiB' } },
        workers: {
          p: lazy('process'),
          t: lazy('thread'),
          stays: { placement: 'process', activation: { topics: ['job.stays'] } },
          leak: { onLimit: 'eject' },
        },
      },
    })
    await herd.line({ event: 'memory-watch', source: 'pss', highBytes: 1_048_576 })
    for (const step of ['collect', 'sleep', 'largest']) {
      const line = await herd.line({ event: 'memory-relief', step }, 0, 40_000)
      t.match(line, { beforeBytes: Number, afterBytes: Number, highBytes: 1_048_576, source: 'pss' })
    }
    t.match(herd.matching({ event: 'memory-sleepers' })[0], { workers: ['p', 't'] })
    t.match(await herd.worker('stays'), { state: 'running' }, 'its config never said that it may sleep')
    const [named] = herd.matching({ event: 'memory-largest' })
    t.match(named, {
      worker: 'leak',
      placement: 'shared',
      growthBytes: Number,
      keptBytes: Number,
      file: /heapprofile$/,
    })
    await herd.untilWorker('leak', (w) => w.placement === 'process' && w.state === 'running')
    t.match(herd.matching({ event: 'moved' }), [{ worker: 'leak', to: 'process', by: 'eject' }])
    const { workers } = await herd.status()
    t.same(
      workers.map(({ name, failures }) => [name, failures]),
      ['p', 't', 'stays', 'feeder', 'leak'].map((name) => [name, 0]),
    )
    t.match(await herd.worker('feeder'), { restarts: 0 }, 'siblings go on')
    t.same(await herd.stop(), { code: 0, signal: null })
  },
)

/** Buffers are outside V8's heap, where its profiler sees nothing. */
const BUFFERS = `
export async function run(ctx) {
  const kept = []
  ctx.every(50, () => void (kept.length < 400 && kept.push(Buffer.alloc(2_000_000, kept.length + 1))), { jitter: 0 })
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`
/** A cache that fills, a hundred times more slowly. */
const CACHE = `
export async function run(ctx) {
  const kept = []
  ctx.every(50, () => void kept.push(new Array(2_500).fill(kept.length + 0.5)), { jitter: 0 })
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`

t.test('nobody is blamed for memory that V8 does not see', async (t) => {
  const herd = await startHerd(t, {
    workers: { buffers: BUFFERS, cache: CACHE },
    config: {
      groups: { default: { memoryHigh: '1MiB' } },
      workers: { buffers: { onLimit: 'eject' }, cache: { onLimit: 'eject' } },
    },
  })
  const named = await herd.line({ event: 'memory-largest' }, 0, 40_000)
  t.match(named, { keptBytes: Number, grewBytes: Number, msg: /outside its V8 heap/ })
  t.notOk('worker' in named, 'the cache kept most of what V8 knows of, and next to nothing of what grew')
  await herd.line({ event: 'memory-relief', step: 'largest' })
  t.same(herd.matching({ event: 'moved' }), [])
  t.same(await herd.stop(), { code: 0, signal: null })
})
