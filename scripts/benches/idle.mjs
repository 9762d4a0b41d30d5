// 18 idle workers over 30 s: voluntary context switches and CPU time, byre beside the hand-written host. The two of a pair
// run at the same time, so that they see the same machine.
import { activityOf } from './lib/activity.mjs'
import { createHerdFiles } from './lib/herd-files.mjs'
import { startByHand, startByre } from './lib/hosts.mjs'
import { sleep, withHost } from './lib/lanes.mjs'
import { buildResult, claim, differenceOf, figuresOf, tableOf } from './lib/result.mjs'

const WINDOW_MS = 30_000
// V8 collects once more about 8 s after a load, in either host (40 ms of CPU, 40 switches): idle begins after it.
const SETTLE_MS = 25_000

export const describe = '18 idle workers over 30 s: context switches and CPU time'
export const table = tableOf

export async function run(options) {
  const herds = [createHerdFiles({ count: 18, kind: 'orm' }), createHerdFiles({ count: 18, kind: 'orm' })]
  const runs = { byHand: [], byre: [] }
  try {
    for (let i = 1; i <= options.runs; i++) {
      options.note(`run ${i}/${options.runs}`)
      const [byHand, byre] = await pair(options, herds)
      runs.byHand.push(byHand)
      runs.byre.push(byre)
    }
  } finally {
    for (const herd of herds) herd.remove()
  }
  const over = 'byre over by hand'
  const switches = differenceOf(over, 'voluntarySwitchesCount', runs.byre, runs.byHand)
  const cpu = differenceOf(over, 'cpuMs', runs.byre, runs.byHand)
  return buildResult('idle', options, {
    settings: { workers: 18, windowMs: WINDOW_MS, fromMsAfterReady: Math.max(SETTLE_MS, options.settleMs) },
    figures: [...figuresOf('by hand', runs.byHand), ...figuresOf('byre', runs.byre), switches, cpu],
    claims: [
      claim('18 idle workers over 30 s, voluntary context switches over by hand', switches, 20),
      claim('18 idle workers over 30 s, CPU time over by hand', cpu, 30),
    ],
  })
}

function pair(options, [herdA, herdB]) {
  return withHost(
    () => startByHand(options.node, herdA),
    (byHand) =>
      withHost(
        () => startByre(options.node, herdB),
        async (byre) => {
          await sleep(Math.max(SETTLE_MS, options.settleMs))
          const before = [byHand, byre].map(activityOf)
          await sleep(WINDOW_MS)
          return [byHand, byre].map((host, i) => since(before[i], activityOf(host)))
        },
      ),
  )
}

function since(before, after) {
  return {
    voluntarySwitchesCount: after.voluntarySwitches - before.voluntarySwitches,
    involuntarySwitchesCount: after.involuntarySwitches - before.involuntarySwitches,
    cpuMs: after.cpuMs - before.cpuMs,
    threadsCount: after.threads,
  }
}
