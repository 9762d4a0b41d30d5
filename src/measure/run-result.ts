// Builds the result of one run: the source of each figure, and why a figure is absent. Pure.

import { formatMegabytes } from '../base/bytes.ts'
import type { NetworkCounters } from './host-facts.ts'
import type { Usage } from './launcher.ts'
import type { OutputLog } from './output-log.ts'
import type { RunCgroup } from './run-cgroup.ts'
import type {
  LimitFacts,
  MetricName,
  Metrics,
  Outcome,
  Peak,
  Phase,
  RemainingProcess,
  RunResult,
  SamplingFacts,
  VerifyRow,
} from './result.ts'
import type { SamplerResult } from './sampler.ts'
import type { SeriesResult } from './sample-series.ts'
import { TORN_RATIO } from './torn-reads.ts'

export interface RunParts {
  readonly lane: string
  readonly phase: Phase
  readonly run: number
  readonly interrupted: boolean
  readonly startedAt: string
  readonly outcome: Outcome
  readonly wallMs: number
  readonly usage: Usage | undefined
  readonly sampled: SamplerResult | undefined
  readonly leftovers: readonly RemainingProcess[]
  readonly runCgroup: Pick<RunCgroup, 'cgroup' | 'way'>
  readonly peakBytes: number | undefined
  readonly figures: SeriesResult
  readonly network: NetworkCounters | undefined
  readonly limit: LimitFacts | undefined
  readonly verify: readonly VerifyRow[]
  readonly sizes: Readonly<Record<string, number>>
  readonly log: Pick<OutputLog, 'bytes' | 'unloggedBytes' | 'lastLines' | 'problem'>
}

const NOT_SAMPLED = 'the command ended before its processes could be read'
const NO_SAMPLES: SamplingFacts = {
  samples: 0,
  readings: 0,
  cpuMs: 0,
  cpuRatio: 0,
  mostProcesses: 0,
  unreadable: 0,
  givenUp: 0,
}

export function assembleRun(parts: RunParts): RunResult {
  const { interrupted, outcome, figures, sampled } = parts
  const peak = peakOf(parts)
  const { metrics, absent } = metricsOf(parts, peak)
  const passed = outcome.kind === 'exited' && outcome.code === 0 && parts.verify.every((row) => row.ok)
  const { medianIntervalMs, pssUncertainBytes } = figures
  return {
    lane: parts.lane,
    phase: parts.phase,
    run: parts.run,
    startedAt: parts.startedAt,
    outcome,
    ok: passed && !interrupted,
    interrupted,
    peak,
    metrics,
    absent,
    stages: figures.stages,
    ...(figures.drivingStage === undefined ? {} : { drivingStage: figures.drivingStage }),
    topProcesses: figures.topProcesses,
    sampling: {
      ...(sampled?.facts ?? NO_SAMPLES),
      ...(medianIntervalMs === undefined ? {} : { medianIntervalMs }),
      ...(pssUncertainBytes === undefined ? {} : { pssUncertainBytes }),
    },
    verify: parts.verify,
    sizes: parts.sizes,
    escaped: sampled?.escaped ?? [],
    leftovers: parts.leftovers,
    ...(parts.limit === undefined ? {} : { limit: parts.limit }),
    output: {
      bytes: parts.log.bytes,
      unloggedBytes: parts.log.unloggedBytes,
      lastLines: outcome.kind === 'exited' && outcome.code === 0 ? '' : parts.log.lastLines,
    },
    notes: notesOf(parts),
    timeline: figures.timeline,
  }
}

function peakOf({ runCgroup, peakBytes, sampled, figures, outcome }: RunParts): Peak {
  const { cgroup, way } = runCgroup
  if (cgroup !== undefined && outcome.kind !== 'not-started' && peakBytes !== undefined)
    return {
      source: cgroup.source,
      way,
      bytes: peakBytes,
      ...(sampled?.split === undefined ? {} : { split: sampled.split }),
    }
  return {
    source: 'sampled',
    way:
      cgroup === undefined ? way : `${way}, but this kernel reports no peak (memory.peak needs Linux 5.19)`,
    ...(figures.pssBytes === undefined ? {} : { bytes: figures.pssBytes }),
  }
}

function metricsOf(parts: RunParts, peak: Peak): { metrics: Metrics; absent: Record<string, string> } {
  const { figures, sampled, usage, network, outcome } = parts
  const started = outcome.kind !== 'not-started'
  const cgroupReason = `no cgroup: ${parts.runCgroup.way}`
  const split = sampled?.split
  const all: Readonly<Record<MetricName, readonly [number | undefined, string]>> = {
    peakBytes: [peak.bytes, NOT_SAMPLED],
    anonBytes: [sampled?.highestAnonBytes ?? figures.anonBytes, NOT_SAMPLED],
    fileBytes: [split?.fileBytes, cgroupReason],
    kernelBytes: [split?.kernelBytes, split === undefined ? cgroupReason : 'this kernel does not report it'],
    pssBytes: [figures.pssBytes, NOT_SAMPLED],
    ussBytes: [figures.ussBytes, NOT_SAMPLED],
    rssBytes: [figures.rssBytes, NOT_SAMPLED],
    largestRssBytes: [usage?.largestRssBytes, 'the launcher was killed'],
    wallMs: [Number(parts.wallMs.toFixed(1)), ''],
    userMs: [usage?.userMs, 'the launcher was killed'],
    systemMs: [usage?.systemMs, 'the launcher was killed'],
    minorFaults: [usage?.minorFaults, 'the launcher was killed'],
    majorFaults: [usage?.majorFaults, 'the launcher was killed'],
    voluntarySwitches: [usage?.voluntarySwitches, 'the launcher was killed'],
    involuntarySwitches: [usage?.involuntarySwitches, 'the launcher was killed'],
    readBytes: [usage?.readBytes, 'the launcher was killed'],
    writtenBytes: [usage?.writtenBytes, 'the launcher was killed'],
    networkReceivedBytes: [network?.receivedBytes, 'the interface counters cannot be read'],
    networkSentBytes: [network?.sentBytes, 'the interface counters cannot be read'],
  }
  const metrics: Partial<Record<MetricName, number>> = {}
  const absent: Record<string, string> = {}
  for (const [name, [value, reason]] of Object.entries(all)) {
    if (started && value !== undefined) metrics[name as MetricName] = value
    else absent[name] = started ? reason : 'the command was not started'
  }
  return { metrics, absent }
}

function notesOf({ sampled, leftovers, log, figures }: RunParts): string[] {
  const notes: string[] = []
  const { escaped = [], facts } = sampled ?? {}
  if (escaped.length > 0)
    notes.push(
      `outside the cgroup, so not in the peak: ${escaped.map((e) => `${e.name} ${e.pid} in ${e.cgroup}`).join(', ')}`,
    )
  if (leftovers.length > 0)
    notes.push(
      `outlived the command and were killed: ${leftovers
        .slice(0, 10)
        .map((p) => `${p.name} ${p.pid}`)
        .join(', ')}${leftovers.length > 10 ? ` and ${leftovers.length - 10} more` : ''}`,
    )
  if ((facts?.unreadable ?? 0) > 0)
    notes.push(`the kernel denied ${facts!.unreadable} readings of processes: PSS does not include them`)
  const { pssBytes = 0, pssUncertainBytes = 0 } = figures
  if (pssUncertainBytes > TORN_RATIO * pssBytes)
    notes.push(
      `processes started or ended while the tree was read: the highest PSS may be off by ${formatMegabytes(pssUncertainBytes)}`,
    )
  if (log.problem !== undefined) notes.push(log.problem)
  if (figures.samples > 0 && figures.samples < 3)
    notes.push(`only ${figures.samples} samples of the tree: PSS and stages are approximate`)
  return notes
}
