// 18 dormant workers on the Redis bus beside what an engineer writes by hand: pino, two ioredis connections, one
// subscription for each worker, its module imported with the first message.
import { readFileSync, writeFileSync } from 'node:fs'
import { laneAtRest, withHerd } from './lib/herd-lane.mjs'
import { startByRedisHand, startByre } from './lib/hosts.mjs'
import { interleave } from './lib/lanes.mjs'
import { startServer } from './lib/redis-server.mjs'
import { buildResult, claim, differenceOf, figuresOf, tableOf } from './lib/result.mjs'

const LIMIT_BYTES = 3_000_000

export const describe = '18 dormant workers on the Redis bus compared with a host written by hand: memory'
export const table = tableOf

export async function run(options) {
  const server = await startServer()
  try {
    return await withHerd(options, { count: 18, kind: 'dormant' }, (herd) => {
      const config = JSON.parse(readFileSync(herd.config, 'utf8'))
      writeFileSync(herd.config, JSON.stringify({ ...config, bus: server.url }))
      return measure(options, herd)
    })
  } finally {
    await server.stop()
  }
}

async function measure(options, herd) {
  const lane = (start) => laneAtRest(options, start)
  const runs = await interleave(
    {
      byHand: lane(() => startByRedisHand(options.node, herd)),
      byre: lane(() => startByre(options.node, herd)),
    },
    options.runs,
    options.note,
  )
  const over = differenceOf('byre over the hand-written host', 'anonBytes', runs.byre, runs.byHand)
  return buildResult('redis-dormant', options, {
    settings: { workers: 18, memoryAtMsAfterReady: options.settleMs, companion: true },
    figures: [
      ...figuresOf('by hand, 18 dormant', runs.byHand),
      ...figuresOf('byre, 18 dormant', runs.byre),
      over,
    ],
    claims: [
      claim('18 dormant workers on Redis, private memory over the hand-written host', over, LIMIT_BYTES),
    ],
  })
}
