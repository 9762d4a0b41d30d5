// Figures of the supervisor's process: memory from the kernel, heap from V8, loop delay from the lateness of its timers.

import type { Clock } from '../base/clock.ts'
import type { ProcResult } from '../procfs/read.ts'
import type { SmapsRollup } from '../procfs/smaps-rollup.ts'
import type { SupervisorStatus } from '../herd/status.ts'

const SAMPLES_MAX = 512

/** Lateness of byre's own timers: measures the loop delay without a probe that would wake an idle loop. */
export interface LatenessGauge {
  readonly record: (ms: number) => void
  /** p99 of the last 512 timers, milliseconds; undefined before the first. */
  p99(): number | undefined
}

function createLatenessGauge(): LatenessGauge {
  const samples: number[] = []
  let next = 0
  return {
    record: (ms) => {
      samples[next] = ms
      next = (next + 1) % SAMPLES_MAX
    },
    p99: () => {
      if (samples.length === 0) return undefined
      const sorted = [...samples].sort((a, b) => a - b)
      return (
        Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))] as number) * 100) /
        100
      )
    },
  }
}

export interface ProcessFigures {
  /** Records by how many milliseconds a timer was late. */
  readonly lateBy: (ms: number) => void
  read(): Promise<SupervisorStatus['process']>
}

/** Reads within this time share one reading of smaps_rollup: the kernel walks every page table for it, 0.5-1.3 ms of the loop. */
export const MEMORY_SHARED_MS = 100

/** `readMemory` reads /proc/self/smaps_rollup. RSS, heap and CPU are read each time: they cost microseconds. */
export function createProcessFigures(clock: Clock, readMemory?: ReadMemory): ProcessFigures {
  const gauge = createLatenessGauge()
  let last: { readonly rollup: ProcResult<SmapsRollup>; readonly at: number } | undefined
  const walk = async (): Promise<ProcResult<SmapsRollup>> => {
    const read = readMemory ?? (await import('../procfs/smaps-rollup.ts')).readSmapsRollup
    if (last === undefined || clock.monotonic() - last.at >= MEMORY_SHARED_MS)
      last = { rollup: read('self'), at: clock.monotonic() }
    return last.rollup
  }
  return { lateBy: gauge.record, read: async () => figures(await walk(), gauge.p99()) }
}

type ReadMemory = (pid: 'self') => ProcResult<SmapsRollup>

function figures(rollup: ProcResult<SmapsRollup>, p99: number | undefined): SupervisorStatus['process'] {
  const memory = process.memoryUsage()
  const cpu = process.cpuUsage()
  const unavailable: Record<string, string> = {}
  if (p99 === undefined) unavailable['loopDelayP99Ms'] = 'no timer has fired yet'
  if (!rollup.ok) unavailable['pssBytes'] = `/proc/self/smaps_rollup: ${rollup.reason}`
  return {
    rssBytes: memory.rss,
    heapUsedBytes: memory.heapUsed,
    cpuRatio: Math.round(((cpu.user + cpu.system) / 1000 / performance.now()) * 10_000) / 10_000,
    ...(rollup.ok
      ? {
          pssBytes: rollup.value.pssBytes,
          ussBytes: rollup.value.ussBytes,
          anonBytes: rollup.value.anonBytes,
        }
      : {}),
    ...(p99 === undefined ? {} : { loopDelayP99Ms: p99 }),
    ...(Object.keys(unavailable).length === 0 ? {} : { unavailable }),
  }
}
