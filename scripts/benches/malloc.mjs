// What the launcher's malloc setting gives and costs: private memory of 18 ORM workers with and without it, by byre and by
// hand, and the CPU time of a stream of 64 KiB reads and of small echoes, which pay for it.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { MALLOC_ENV } from './lib/flags.mjs'
import { laneAtRest, withHerd } from './lib/herd-lane.mjs'
import { startByHand, startByre } from './lib/hosts.mjs'
import { interleave } from './lib/lanes.mjs'
import { buildResult, differenceOf, figuresOf, ratioOf, tableOf } from './lib/result.mjs'

const CHILD = fileURLToPath(new URL('./hosts/stream-child.mjs', import.meta.url))

export const describe =
  "glibc's mmap threshold as the launcher sets it: memory with and without, cost on streams"
export const table = tableOf

export async function run(options) {
  return withHerd(options, { count: 18, kind: 'orm' }, (herd) => measure(options, herd))
}

async function measure(options, herd) {
  const lane = (start, malloc) => laneAtRest(options, () => start(options.node, herd, { malloc }))
  const memory = await interleave(
    {
      byreWithout: lane(startByre, {}),
      byreWith: lane(startByre, MALLOC_ENV),
      byHandWithout: lane(startByHand, {}),
      byHandWith: lane(startByHand, MALLOC_ENV),
    },
    options.runs,
    options.note,
  )
  const streams = await interleave(
    { without: () => stream(options.node, {}), with: () => stream(options.node, MALLOC_ENV) },
    options.runs,
    options.note,
  )
  return buildResult('malloc', options, {
    settings: { workers: 18, memoryAtMsAfterReady: options.settleMs, setting: MALLOC_ENV },
    figures: [
      ...Object.entries(memory).flatMap(([name, runs]) => figuresOf(name, runs)),
      differenceOf('byre, with less without', 'anonBytes', memory.byreWith, memory.byreWithout),
      ...Object.entries(streams).flatMap(([name, runs]) => figuresOf(`streams ${name}`, runs)),
      ratioOf('streams, with over without', 'bulkCpuMs', streams.with, streams.without),
      ratioOf('streams, with over without', 'echoCpuMs', streams.with, streams.without),
    ],
  })
}

async function stream(node, malloc) {
  const vars = Object.entries(malloc).map(([name, value]) => `${name}=${value}`)
  return JSON.parse(execFileSync('/usr/bin/env', ['-i', ...vars, node, CHILD], { encoding: 'utf8' }))
}
