// 18 ORM workers: `byre supervise` beside the hand-written host, same modules, bus class and V8 flags. Memory at a stated
// time after ready, time from spawn to all ready, p99 loop delay while idle. Memory is taken twice: in plain children,
// whose garbage depends on the moment, and in calibrated ones, whose difference repeats.
import { withHerd } from './lib/herd-lane.mjs'
import { measureLoopDelay, startByHand, startByre } from './lib/hosts.mjs'
import { interleave, sleep, withHost } from './lib/lanes.mjs'
import { memoryOf } from './lib/memory.mjs'
import { buildResult, claim, differenceOf, figuresOf, ratioOf, tableOf } from './lib/result.mjs'

const WORKERS = 18
const DELAY_WINDOW_MS = 10_000
// After the collection V8 makes about 8 s after a load.
const QUIET_BEFORE_DELAY_MS = 12_000
// A start takes half a second and a busy machine moves it by as much: the median of 20 pairs moved by 0.1 between series.
const STARTS_PER_RUN = 12

export const describe = '18 ORM workers hosted by byre and by hand: memory, ready time, loop delay'
export const table = tableOf

export async function run(options) {
  return withHerd(options, { count: WORKERS, kind: 'orm' }, (herd) => measure(options, herd))
}

async function measure(options, herd) {
  const { runs, note } = options
  const lanes = (hostOptions, use) => ({
    byHand: () => withHost(() => startByHand(options.node, herd, hostOptions), use),
    byre: () => withHost(() => startByre(options.node, herd, hostOptions), use),
  })
  const memory = async (host) => {
    await sleep(options.settleMs)
    return memoryOf(host)
  }
  const ready = lanes({}, (host) => ({ readyMs: host.readyMs }))
  await interleave(ready, 1, () => {}) // fills the page cache; not counted
  return report(options, {
    ready: await interleave(ready, runs * STARTS_PER_RUN, note),
    plain: await interleave(lanes({}, memory), runs, note),
    calibrated: await interleave(lanes({ calibrated: true }, memory), runs, note),
    delay: await delays(options, herd),
  })
}

/** Both hosts at the same time: what an idle loop is late by is mostly the machine, and so both see the same machine. */
async function delays({ runs, node, note }, herd) {
  const found = { byHand: [], byre: [] }
  const loopDelay = { loopDelay: true }
  const take = async (host) => {
    const { p50Ms, p99Ms, maxMs } = await measureLoopDelay(host, DELAY_WINDOW_MS)
    return { delayP50Ms: p50Ms, delayP99Ms: p99Ms, delayMaxMs: maxMs }
  }
  for (let run = 1; run <= runs; run++) {
    note(`run ${run}/${runs}: loop delay`)
    const both = async (byHand) =>
      withHost(
        () => startByre(node, herd, loopDelay),
        async (byre) => {
          await sleep(QUIET_BEFORE_DELAY_MS)
          return Promise.all([take(byHand), take(byre)])
        },
      )
    const [byHand, byre] = await withHost(() => startByHand(node, herd, loopDelay), both)
    found.byHand.push(byHand)
    found.byre.push(byre)
  }
  return found
}

function report(options, { ready, plain, calibrated, delay }) {
  const over = 'byre over by hand'
  const figures = {
    anon: differenceOf(over, 'anonBytes', plain.byre, plain.byHand),
    calibrated: differenceOf(
      'byre over by hand, calibrated',
      'anonBytes',
      calibrated.byre,
      calibrated.byHand,
    ),
    ready: ratioOf(over, 'readyMs', ready.byre, ready.byHand),
    delay: differenceOf(over, 'delayP99Ms', delay.byre, delay.byHand),
  }
  const limitBytes = 4_000_000
  return buildResult('herd', options, {
    settings: {
      workers: WORKERS,
      memoryAtMsAfterReady: options.settleMs,
      delayWindowMs: DELAY_WINDOW_MS,
      companion: true,
    },
    figures: [
      ...['byHand', 'byre'].flatMap((name) => [
        ...figuresOf(name, plain[name]),
        ...figuresOf(name, ready[name]),
        ...figuresOf(name, delay[name]),
        ...figuresOf(`${name}, calibrated`, calibrated[name]).filter((f) => f.metric === 'anonBytes'),
      ]),
      ...Object.values(figures),
      differenceOf(over, 'pssBytes', plain.byre, plain.byHand),
    ],
    claims: [
      claim('18 ORM workers, private memory over the hand-written host', figures.anon, limitBytes),
      claim('the same in calibrated children', figures.calibrated, limitBytes),
      claim('18 ORM workers, time to ready relative to the hand-written host', figures.ready, 1.25),
      claim('18 idle workers, p99 loop delay over the hand-written host', figures.delay, 2),
    ],
  })
}
