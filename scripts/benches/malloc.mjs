// What the launcher's malloc setting gives and costs: private memory of 18 ORM workers with and without it, by byre and by
// hand, and the CPU time of a stream of 64 KiB reads and of small echoes, which pay for it.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { MALLOC_ENV } from './lib/flags.mjs'
import { createHerdFiles } from './lib/herd-files.mjs'
import { startByHand, startByre, startCompanion } from './lib/hosts.mjs'
import { interleave, sleep, withHost } from './lib/lanes.mjs'
import { memoryOf } from './lib/memory.mjs'
import { buildResult, differenceOf, figuresOf, ratioOf, tableOf } from './lib/result.mjs'

const CHILD = fileURLToPath(new URL('./hosts/stream-child.mjs', import.meta.url))

export const describe =
  "glibc's mmap threshold as the launcher sets it: memory with and without, cost on streams"
export const table = tableOf

export async function run(options) {
  const herd = createHerdFiles({ count: 18, kind: 'orm' })
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
  const lane = (start, malloc) => () =>
    withHost(
      () => start(options.node, herd, { malloc }),
      async (host) => {
        await sleep(options.settleMs)
        return { anonBytes: memoryOf(host).anonBytes, readyMs: host.readyMs }
      },
    )
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
