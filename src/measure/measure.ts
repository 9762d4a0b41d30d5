// `byre measure` without its command line: runs every step of the schedule and returns one result. Prints nothing.

import { loadavg } from 'node:os'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { containerCommand, inContainer, parseContainerFacts } from './container.ts'
import { readHostFacts } from './host-facts.ts'
import type { VerifyRules } from './paths.ts'
import type { MeasureResult, MetricName, Outcome, Phase, RunResult } from './result.ts'
import type { RunOptions } from './run-once.ts'
import { runOnce } from './run-once.ts'
import type { Step } from './schedule.ts'
import { schedule } from './schedule.ts'
import type { TreeSample } from './sample-series.ts'
import { runShellStep } from './shell-step.ts'
import type { StageRule } from './stages.ts'
import { openTimelineFile } from './timeline-file.ts'

export interface Lane {
  readonly name: string
  readonly command: readonly string[]
  /** Variables added to the environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly verify?: VerifyRules
}

export interface MeasureOptions {
  readonly label: string
  readonly lanes: readonly Lane[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly runs: number
  readonly warmups: number
  readonly phases: readonly Phase[]
  readonly prepare?: string
  readonly cleanup?: string
  readonly rules: readonly StageRule[]
  readonly intervalMs: number
  readonly verify: VerifyRules
  readonly sizes: Readonly<Record<string, string>>
  readonly limitBytes?: number
  /** Run each command in a new container with the working folder mounted. */
  readonly container?: { readonly engine: string; readonly image: string }
  readonly ceiling?: { readonly metric: MetricName; readonly limitBytes: number }
  readonly logPath?: string
  readonly timelinePath?: string
  readonly logMaxBytes: number
  /** Whether to request a scope from systemd-run when no cgroup can be created. */
  readonly scopes: boolean
  /** False: take the peak from samples only. */
  readonly useCgroup: boolean
  readonly interrupt: AbortSignal
  readonly kill: AbortSignal
  readonly onEvent?: (event: MeasureEvent) => void
}

export type MeasureEvent =
  | { readonly kind: 'step'; readonly step: Step; readonly index: number; readonly steps: number }
  | { readonly kind: 'sample'; readonly step: Step; readonly sample: TreeSample }
  | { readonly kind: 'output'; readonly chunk: Buffer; readonly stream: 'stdout' | 'stderr' }
  | { readonly kind: 'run'; readonly step: Step; readonly run: RunResult }

/** Runs every step. A failed run is part of the result; after an interrupt the result contains the runs so far. */
export async function measure(o: MeasureOptions): Promise<MeasureResult> {
  const startedAt = new Date().toISOString()
  const loadAtStart = Number(loadavg()[0]!.toFixed(2))
  const steps = schedule(
    o.lanes.map((lane) => lane.name),
    o.phases,
    o.runs,
    o.warmups,
  )
  if (o.logPath !== undefined) rmSync(o.logPath, { force: true })
  const timeline = o.timelinePath === undefined ? undefined : openTimelineFile(o.timelinePath)
  const runs: RunResult[] = []
  try {
    for (const [index, step] of steps.entries()) {
      if (o.interrupt.aborted) break
      o.onEvent?.({ kind: 'step', step, index, steps: steps.length })
      const run = await runStep(o, step, (sample) => {
        if (!step.isWarmup) timeline?.add(step, sample)
        o.onEvent?.({ kind: 'sample', step, sample })
      })
      o.onEvent?.({ kind: 'run', step, run })
      if (!step.isWarmup) keepRun(runs, run)
    }
  } finally {
    timeline?.close()
  }
  const lost = timeline?.problem
  const all = lost === undefined ? runs : runs.map((run) => ({ ...run, notes: [...run.notes, lost] }))
  const expected = steps.filter((step) => !step.isWarmup).length
  return {
    version: 1,
    kind: 'byre-measure',
    label: o.label,
    startedAt,
    host: readHostFacts(),
    loadAtStart,
    intervalMs: o.intervalMs,
    lanes: o.lanes.map(({ name, command }) => ({ name, command: command.join(' ') })),
    warmups: o.warmups,
    runs: all,
    ok: all.length === expected && all.every((run) => run.ok),
    interrupted: o.interrupt.aborted || o.kill.aborted,
    ...(o.ceiling === undefined ? {} : { ceiling: { ...o.ceiling, broken: brokenBy(all, o.ceiling) } }),
  }
}

async function runStep(
  o: MeasureOptions,
  step: Step,
  onSample: (sample: TreeSample) => void,
): Promise<RunResult> {
  const lane = o.lanes.find(({ name }) => name === step.lane)!
  const env = { ...o.env, ...lane.env }
  const shell = {
    cwd: o.cwd,
    env,
    signal: AbortSignal.any([o.interrupt, o.kill]),
    ...(o.logPath === undefined ? {} : { logPath: o.logPath }),
  }
  const options: RunOptions = {
    ...o,
    env,
    lane: lane.name,
    command: lane.command,
    phase: step.phase,
    run: step.run,
    verify: lane.verify ?? o.verify,
    onSample,
    onOutput: (chunk, stream) => o.onEvent?.({ kind: 'output', chunk, stream }),
  }
  if (step.phase === 'cold' && o.prepare !== undefined) {
    const failed = await runShellStep(o.prepare, shell)
    if (failed !== undefined) return notStarted(options, `--prepare ${failed}`)
  }
  const run = o.container === undefined ? await runOnce(options) : await runInContainer(options, o.container)
  if (o.cleanup === undefined) return run
  const failed = await runShellStep(o.cleanup, { ...shell, signal: o.kill })
  return failed === undefined ? run : { ...run, ok: false, notes: [...run.notes, `--cleanup ${failed}`] }
}

/** The facts file is in the mounted folder, the only folder that both sides can access. */
async function runInContainer(
  options: RunOptions,
  container: { readonly engine: string; readonly image: string },
): Promise<RunResult> {
  const folder = mkdtempSync(join(options.cwd, '.byre-container-'))
  const { limitBytes, ...unlimited } = options
  try {
    const factsPath = join(folder, 'facts')
    const memory = limitBytes === undefined ? {} : { memoryBytes: limitBytes }
    const command = containerCommand(
      { ...container, folder: options.cwd, factsPath, ...memory },
      options.command,
    )
    const run = await runOnce({ ...unlimited, command, useCgroup: false })
    return inContainer(run, readFacts(factsPath), container.image, limitBytes)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function readFacts(path: string): ReturnType<typeof parseContainerFacts> {
  try {
    return parseContainerFacts(readFileSync(path, 'utf8'))
  } catch {
    return undefined // the container ended before it wrote the file
  }
}

function notStarted(o: RunOptions, reason: string): RunResult {
  const outcome: Outcome = { kind: 'not-started', reason }
  return {
    lane: o.lane,
    phase: o.phase,
    run: o.run,
    startedAt: new Date().toISOString(),
    outcome,
    ok: false,
    interrupted: o.interrupt.aborted,
    peak: { source: 'sampled', way: reason },
    metrics: {},
    absent: { peakBytes: reason },
    stages: [],
    topProcesses: [],
    sampling: { samples: 0, readings: 0, cpuMs: 0, cpuRatio: 0, mostProcesses: 0, unreadable: 0, givenUp: 0 },
    verify: [],
    sizes: {},
    escaped: [],
    leftovers: [],
    output: { bytes: 0, unloggedBytes: 0, lastLines: '' },
    notes: [],
  }
}

/** Keeps the timeline only for the run with the highest peak of its lane and phase; the CSV has all of them. */
function keepRun(runs: RunResult[], run: RunResult): void {
  const before = runs.findIndex(
    (other) => other.lane === run.lane && other.phase === run.phase && other.timeline !== undefined,
  )
  const isHigher = before < 0 || (run.peak.bytes ?? 0) > (runs[before]!.peak.bytes ?? 0)
  if (isHigher && before >= 0) runs[before] = withoutTimeline(runs[before]!)
  runs.push(isHigher ? run : withoutTimeline(run))
}

function withoutTimeline(run: RunResult): RunResult {
  const { timeline: _timeline, ...rest } = run
  return rest
}

function brokenBy(
  runs: readonly RunResult[],
  { metric, limitBytes }: { readonly metric: MetricName; readonly limitBytes: number },
): string[] {
  return runs.flatMap((run) => {
    const bytes = run.metrics[metric]
    const name = `${run.lane}, ${run.phase} run ${run.run}`
    // A ceiling that cannot be checked counts as broken.
    if (bytes === undefined)
      return [`${name}: ${metric} could not be measured (${run.absent[metric] ?? 'unknown'})`]
    return bytes > limitBytes ? [`${name}: ${metric} is ${bytes}`] : []
  })
}
