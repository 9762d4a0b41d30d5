// From 18 to 1000 workers: what one more costs, dormant and loaded, beside the hand-written host. Each loaded worker has a
// module of 2.5 KB of its own.
import { createHerdFiles } from './lib/herd-files.mjs'
import { startByHand, startByre, startCompanion } from './lib/hosts.mjs'
import { interleave, sleep, withHost } from './lib/lanes.mjs'
import { memoryOf } from './lib/memory.mjs'
import { buildResult, claim, differenceOf, figuresOf, tableOf } from './lib/result.mjs'

const FEW = 18
const MANY = 1000

export const describe = '18 to 1000 workers: the cost of one more, dormant and loaded'
export const table = tableOf

export async function run(options) {
  const herds = []
  const herd = (count, kind) => {
    const files = createHerdFiles({ count, kind })
    herds.push(files)
    return files
  }
  try {
    const sizes = (kind) => [herd(FEW, kind), herd(MANY, kind)]
    return await withHost(
      () => startCompanion(options.node),
      () => measure(options, sizes('lean'), sizes('dormant')),
    )
  } finally {
    for (const files of herds) files.remove()
  }
}

async function measure(options, loaded, dormant) {
  const anonAt = (start, files) =>
    withHost(
      () => start(options.node, files),
      async (host) => {
        await sleep(options.settleMs)
        return { anonBytes: memoryOf(host).anonBytes, readyMs: host.readyMs }
      },
    )
  const lane =
    (start, [few, many]) =>
    async () => {
      const [small, large] = [await anonAt(start, few), await anonAt(start, many)]
      return {
        perWorkerAnonBytes: (large.anonBytes - small.anonBytes) / (MANY - FEW),
        fewAnonBytes: small.anonBytes,
        manyAnonBytes: large.anonBytes,
        manyReadyMs: large.readyMs,
      }
    }
  const runs = await interleave(
    { byHand: lane(startByHand, loaded), byre: lane(startByre, loaded), dormant: lane(startByre, dormant) },
    options.runs,
    options.note,
  )
  const over = differenceOf('byre over by hand, loaded', 'perWorkerAnonBytes', runs.byre, runs.byHand)
  const asleep = figuresOf('byre, dormant', runs.dormant)
  return buildResult('scale', options, {
    settings: { from: FEW, to: MANY, memoryAtMsAfterReady: options.settleMs },
    figures: [
      ...figuresOf('by hand, loaded', runs.byHand),
      ...figuresOf('byre, loaded', runs.byre),
      ...asleep,
      over,
    ],
    claims: [
      claim(
        'one more dormant worker',
        asleep.find((f) => f.metric === 'perWorkerAnonBytes'),
        5 * 1024,
      ),
    ],
  })
}
