// Measurement results as plain data, for tests of compare and of the reports.
import type { MeasureResult, RunResult } from '../../src/measure/result.ts'

const SAMPLING = {
  samples: 5,
  readings: 5,
  cpuMs: 1,
  cpuRatio: 0.01,
  mostProcesses: 1,
  unreadable: 0,
  givenUp: 0,
} as const

export function runOf(
  lane: string,
  number: number,
  megabytes: number,
  more: Partial<RunResult> = {},
): RunResult {
  return {
    lane,
    phase: 'warm',
    run: number,
    startedAt: '2026-01-01T00:00:00.000Z',
    outcome: { kind: 'exited', code: 0 },
    ok: true,
    interrupted: false,
    peak: { source: 'cgroup-v2', way: 'a cgroup of its own', bytes: megabytes * 1e6 },
    metrics: { peakBytes: megabytes * 1e6, pssBytes: megabytes * 1e6, wallMs: 1000 + number },
    absent: {},
    stages: [],
    topProcesses: [],
    sampling: SAMPLING,
    verify: [],
    sizes: {},
    escaped: [],
    leftovers: [],
    output: { bytes: 0, unloggedBytes: 0, lastLines: '' },
    notes: [],
    ...more,
  }
}

/** A stage of half a second with one process. */
export function stageOf(name: string, megabytes: number): RunResult['stages'][number] {
  return {
    name,
    peakPssBytes: megabytes * 1e6,
    peakAnonBytes: megabytes * 1e6,
    atPeakPssBytes: megabytes * 1e6,
    wallMs: 500,
    cpuMs: 250,
    processes: 1,
  }
}

export function measurementOf(runs: readonly RunResult[], more: Partial<MeasureResult> = {}): MeasureResult {
  return {
    version: 1,
    kind: 'byre-measure',
    label: 'l',
    startedAt: '2026-01-01T00:00:00.000Z',
    host: { host: 'h', cpuModel: 'c', cpus: 2, totalMemoryBytes: 1e9, kernel: '6', node: 'v20.0.0' },
    loadAtStart: 0.1,
    intervalMs: 150,
    lanes: [...new Set(runs.map((run) => run.lane))].map((name) => ({ name, command: name })),
    warmups: 0,
    runs,
    ok: true,
    interrupted: false,
    ...more,
  }
}
