// What the watch for stalls costs an idle herd: memory and wake-ups. Apart from stall.mjs, which wants a quiet machine and
// no minutes of rest.
import { readFileSync, writeFileSync } from 'node:fs'
import { activityOf } from './lib/activity.mjs'
import { createHerdFiles } from './lib/herd-files.mjs'
import { startByre } from './lib/hosts.mjs'
import { sleep, withHost } from './lib/lanes.mjs'
import { memoryOf } from './lib/memory.mjs'
import { buildResult, claim, differenceOf, figuresOf, tableOf } from './lib/result.mjs'

/** Within two minutes of ready V8 has collected what the start left and compiled what got hot, with all its threads, in each
 *  herd at moments of its own: about 200 wake-ups, once. What comes later is counted. */
const REST_MS = 150_000
const WINDOW_MS = 120_000

export const describe = 'the watch for stalls: memory and wake-ups of an idle herd'
export const table = tableOf

export async function run(options) {
  const idle = await idleLanes(options)
  const over = (metric) => differenceOf('watched over not watched', metric, idle.on, idle.off)
  const [memory, later, wakeUps] = ['anonBytes', 'anonLaterBytes', 'wakeUpsPerSecondCount'].map(over)
  const limit = Number(/^v(\d+)/.exec(options.nodeVersion)[1]) <= 20 ? 9_000_000 : 15_000_000
  return buildResult('stall-cost', options, {
    settings: { workers: 18, settleMs: options.settleMs, restMs: REST_MS, windowMs: WINDOW_MS },
    figures: [
      ...figuresOf('not watched', idle.off),
      ...figuresOf('watched', idle.on),
      memory,
      later,
      wakeUps,
    ],
    claims: [
      claim('private memory of the watch', memory, limit),
      claim('the same, at the end of the window', later, limit),
      claim('wake-ups of the watch a second', wakeUps, 4),
    ],
  })
}

/** The same 18 dormant workers with and without, all herds side by side: they do nothing, and what befalls the machine
 *  befalls all of them. */
async function idleLanes(options) {
  options.note(
    `${options.runs} idle herds with and ${options.runs} without, ${(REST_MS + WINDOW_MS) / 1000} s`,
  )
  const lane = (detect) => Promise.all(Array.from({ length: options.runs }, () => idleHerd(options, detect)))
  const [off, on] = await Promise.all([lane(false), lane(true)])
  return { off, on }
}

async function idleHerd(options, detect) {
  const herd = createHerdFiles({ count: 18, kind: 'dormant' })
  const config = JSON.parse(readFileSync(herd.config, 'utf8'))
  writeFileSync(herd.config, JSON.stringify({ ...config, defaults: { stall: { detect } } }))
  try {
    return await withHost(
      () => startByre(options.node, herd),
      async (host) => {
        await sleep(options.settleMs)
        const { anonBytes } = memoryOf(host)
        await sleep(Math.max(0, REST_MS - options.settleMs))
        const before = activityOf(host)
        await sleep(WINDOW_MS)
        const after = activityOf(host)
        return {
          anonBytes,
          anonLaterBytes: memoryOf(host).anonBytes,
          wakeUpsPerSecondCount: (after.voluntarySwitches - before.voluntarySwitches) / (WINDOW_MS / 1000),
          cpuMs: after.cpuMs - before.cpuMs,
          threadsCount: after.threads,
        }
      },
    )
  } finally {
    herd.remove()
  }
}
