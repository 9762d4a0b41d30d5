// The supervisor's own process in figures: memory from the kernel, heap from V8, loop delay from its own timers.

import type { SupervisorStatus } from './status.ts'

const SAMPLES_MAX = 512

/** Lateness of byre's own timers: real samples of the loop's delay, without a probe that would wake an idle loop. */
export interface LatenessGauge {
  readonly record: (ms: number) => void
  /** Milliseconds over the last 512 firings; undefined before the first. */
  p99(): number | undefined
}

export function createLatenessGauge(): LatenessGauge {
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

export async function processFigures(gauge: LatenessGauge): Promise<SupervisorStatus['process']> {
  const { readSmapsRollup } = await import('../procfs/smaps-rollup.ts')
  const memory = process.memoryUsage()
  const rollup = readSmapsRollup('self')
  const cpu = process.cpuUsage()
  const p99 = gauge.p99()
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
