// 18 dormant workers on the embedded bus beside a bare node: what the supervisor itself costs.
import { V8_FLAGS } from './lib/flags.mjs'
import { laneAtRest, withHerd } from './lib/herd-lane.mjs'
import { startBare, startByre } from './lib/hosts.mjs'
import { interleave } from './lib/lanes.mjs'
import { buildResult, claim, differenceOf, figuresOf, tableOf } from './lib/result.mjs'

export const describe = '18 dormant workers compared with a bare node: the cost of the supervisor'
export const table = tableOf

export async function run(options) {
  return withHerd(options, { count: 18, kind: 'dormant' }, (herd) => measure(options, herd))
}

async function measure(options, herd) {
  const lane = (start) => laneAtRest(options, start)
  const runs = await interleave(
    {
      bare: lane(() => startBare(options.node)),
      bareWithFlags: lane(() => startBare(options.node, { flags: V8_FLAGS })),
      byre: lane(() => startByre(options.node, herd)),
    },
    options.runs,
    options.note,
  )
  const over = differenceOf('byre over bare node', 'anonBytes', runs.byre, runs.bare)
  // The runtime itself grew: node:net alone is 2 MB larger on 24.
  const limit = Number(/^v(\d+)/.exec(options.nodeVersion)[1]) <= 20 ? 7_000_000 : 9_000_000
  return buildResult('dormant', options, {
    settings: { workers: 18, memoryAtMsAfterReady: options.settleMs, companion: true },
    figures: [
      ...figuresOf('bare node', runs.bare),
      ...figuresOf('bare node, same flags', runs.bareWithFlags),
      ...figuresOf('byre, 18 dormant', runs.byre),
      over,
      differenceOf('byre over bare node, same flags', 'anonBytes', runs.byre, runs.bareWithFlags),
    ],
    claims: [claim('18 dormant workers, private memory over a bare node', over, limit)],
  })
}
