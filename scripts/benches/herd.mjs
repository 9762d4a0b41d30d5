// 18 ORM workers: `byre supervise` beside the hand-written host, same modules, bus class and V8 flags. Memory at a stated
// time after ready, time from spawn to all ready, p99 loop delay while idle.
import { createHerdFiles } from './lib/herd-files.mjs'
import { measureLoopDelay, startByHand, startByre, startCompanion } from './lib/hosts.mjs'
import { interleave, sleep, withHost } from './lib/lanes.mjs'
import { memoryOf } from './lib/memory.mjs'
import { buildResult, claim, differenceOf, figuresOf, ratioOf, tableOf } from './lib/result.mjs'

const WORKERS = 18
const DELAY_WINDOW_MS = 10_000

export const describe = '18 ORM workers hosted by byre and by hand: memory, ready time, loop delay'
export const table = tableOf

export async function run(options) {
  const herd = createHerdFiles({ count: WORKERS, kind: 'orm' })
  try {
    return await withHost(
      () => startCompanion(options.node),
      () => measure(options, herd),
    )
  } finally {
    herd.remove()
  }
}

async function measure(options, herd) {
  const memory = (start) => () =>
    withHost(
      () => start(options.node, herd),
      async (host) => {
        await sleep(options.settleMs)
        return { ...memoryOf(host), readyMs: host.readyMs }
      },
    )
  const delay = (start) => () =>
    withHost(
      () => start(options.node, herd, { loopDelay: true }),
      async (host) => {
        await sleep(2000)
        const { p50Ms, p99Ms, maxMs } = await measureLoopDelay(host, DELAY_WINDOW_MS)
        return { delayP50Ms: p50Ms, delayP99Ms: p99Ms, delayMaxMs: maxMs }
      },
    )
  const lanes = { byHand: startByHand, byre: startByre }
  const warm = Object.fromEntries(
    Object.entries(lanes).map(([name, start]) => [
      name,
      () =>
        withHost(
          () => start(options.node, herd),
          () => ({}),
        ),
    ]),
  )
  await interleave(warm, 1, options.note) // fills the page cache; not counted
  const mapLanes = (fn) => Object.fromEntries(Object.entries(lanes).map(([name, start]) => [name, fn(start)]))
  const held = await interleave(mapLanes(memory), options.runs, options.note)
  const delays = await interleave(mapLanes(delay), options.runs, options.note)
  return report(options, held, delays)
}

function report(options, held, delays) {
  const over = 'byre over by hand'
  const anon = differenceOf(over, 'anonBytes', held.byre, held.byHand)
  const ready = ratioOf(over, 'readyMs', held.byre, held.byHand)
  const delay = differenceOf(over, 'delayP99Ms', delays.byre, delays.byHand)
  return buildResult('herd', options, {
    settings: {
      workers: WORKERS,
      memoryAtMsAfterReady: options.settleMs,
      delayWindowMs: DELAY_WINDOW_MS,
      companion: true,
    },
    figures: [
      ...figuresOf('by hand', held.byHand),
      ...figuresOf('by hand', delays.byHand),
      ...figuresOf('byre', held.byre),
      ...figuresOf('byre', delays.byre),
      anon,
      differenceOf(over, 'pssBytes', held.byre, held.byHand),
      ready,
      delay,
    ],
    claims: [
      claim('18 ORM workers, private memory over the hand-written host', anon, 4_000_000),
      claim('18 ORM workers, time to ready relative to the hand-written host', ready, 1.25),
      claim('18 idle workers, p99 loop delay over the hand-written host', delay, 2),
    ],
  })
}
