// One measured run of one command: starts it in a new cgroup, samples it until it ends, kills the processes that outlive it,
// and returns the result. Effects only; sample-series.ts evaluates the samples and run-result.ts builds the result.

import { rmSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readAuxv } from '../procfs/auxv.ts'
import { readNetwork } from './host-facts.ts'
import type { Launched } from './launcher.ts'
import type { MemoryCgroup } from './memory-cgroup.ts'
import { createMarkerScanner } from './stage-markers.ts'
import { OutputLog } from './output-log.ts'
import { sizeOf, verify } from './paths.ts'
import type { VerifyRules } from './paths.ts'
import { acquireRunCgroup } from './run-cgroup.ts'
import type { LimitFacts, Outcome, Phase, RemainingProcess, RunResult } from './result.ts'
import { assembleRun } from './run-result.ts'
import { Sampler } from './sampler.ts'
import type { SamplerResult } from './sampler.ts'
import { SampleSeries } from './sample-series.ts'
import type { TreeSample } from './sample-series.ts'
import type { StageRule } from './stages.ts'

export interface RunOptions {
  readonly lane: string
  /** Program and arguments; a shell line is ['sh', '-c', line]. */
  readonly command: readonly string[]
  readonly phase: Phase
  readonly run: number
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly rules: readonly StageRule[]
  readonly intervalMs: number
  readonly verify: VerifyRules
  /** Folder or file by name. */
  readonly sizes: Readonly<Record<string, string>>
  readonly limitBytes?: number
  readonly logPath?: string
  readonly logMaxBytes: number
  /** Whether to request a scope from systemd-run when no cgroup can be created. */
  readonly scopes: boolean
  /** False: take the peak from samples only. */
  readonly useCgroup: boolean
  /** Aborting `interrupt` sends SIGINT to the command; aborting `kill` sends SIGKILL to its tree. */
  readonly interrupt: AbortSignal
  readonly kill: AbortSignal
  readonly onSample?: (sample: TreeSample) => void
  readonly onOutput?: (chunk: Buffer, stream: 'stdout' | 'stderr') => void
}

/** Longest wait for output pipes that an escaped process holds open, ms. */
const PIPES_MS = 500
const STAGE_FILE_POLL_MS = 50
const MAX_END_TRIES = 100
/** Memory charges that four cores may hold back in batches of 64 pages. */
const CHARGE_BATCHES_BYTES = 4 * 64 * 4096

export async function runOnce(o: RunOptions): Promise<RunResult> {
  const startedAt = new Date().toISOString()
  const scratch = mkdtempSync(join(tmpdir(), 'byre-measure-'))
  const stageFile = join(scratch, 'stage')
  const runCgroup = await acquireRunCgroup(o.command, { ...o, env: { ...o.env, BYRE_STAGE_FILE: stageFile } })
  let announced: string | undefined
  const onStage = (name: string): void => void (announced = name === '' ? undefined : name)
  const log = new OutputLog(o.logPath, o.logMaxBytes, onStage)
  const { cgroup } = runCgroup
  try {
    const limited = o.limitBytes !== undefined && cgroup?.limit(o.limitBytes) === true
    const launched = await runCgroup.launch()
    const networkBefore = readNetwork()
    const outputs = [
      log.attach(launched.stdout, (chunk) => o.onOutput?.(chunk, 'stdout')),
      log.attach(launched.stderr, (chunk) => o.onOutput?.(chunk, 'stderr')),
    ]
    const series = new SampleSeries()
    const startedMs = performance.now()
    const started = await launched.go(cgroup?.joinFile)
    let outcome: Outcome
    let wallMs = 0
    let sampled: SamplerResult | undefined
    let leftovers: readonly RemainingProcess[] = []
    if ('refused' in started) outcome = { kind: 'not-started', reason: refusal(started.refused, o.command) }
    else {
      const stages = watchStageFile(stageFile, onStage)
      const sampler = new Sampler({
        launcherPid: launched.launcherPid,
        commandPid: started.pid,
        cgroup,
        rules: o.rules,
        intervalMs: o.intervalMs,
        ticksPerSecond: ticksPerSecond(),
        series,
        // A stage announced before a sample applies to that sample.
        announced: () => {
          stages.poll()
          return announced
        },
        ...(o.onSample === undefined ? {} : { onSample: o.onSample }),
      })
      const stopForwarding = forwardSignals(o, started.pid, sampler, cgroup)
      outcome = await launched.exited
      wallMs = performance.now() - startedMs
      stopForwarding()
      stages.stop()
      leftovers = await killRemaining(sampler, cgroup)
      sampled = sampler.stop()
    }
    // Read before the launcher ends: systemd removes a scope and its cgroups with the last process.
    const peakBytes = cgroup?.peakBytes()
    const limit = limitFacts(o.limitBytes, limited, cgroup, outcome)
    const usage = await launched.end()
    await closeOutputs(launched, outputs)
    return assembleRun({
      lane: o.lane,
      phase: o.phase,
      run: o.run,
      interrupted: o.interrupt.aborted || o.kill.aborted,
      startedAt,
      outcome,
      wallMs,
      usage,
      sampled,
      leftovers,
      runCgroup,
      peakBytes,
      figures: series.finish(wallMs),
      network: difference(networkBefore),
      limit,
      verify: verify(o.verify, o.cwd),
      sizes: sizes(o),
      log,
    })
  } finally {
    log.close()
    rmSync(scratch, { recursive: true, force: true })
    if (cgroup !== undefined) await removeCgroup(cgroup)
    runCgroup.release()
  }
}

function refusal(text: string, command: readonly string[]): string {
  if (text.startsWith('exec 2 ')) return `'${command[0]}' was not found`
  return text
    .replace(/^exec \d+ /, `cannot execute '${command[0]}': `)
    .replace(/^join \d+ /, 'cannot join its cgroup: ')
}

function ticksPerSecond(): number {
  const auxv = readAuxv()
  return auxv.ok ? auxv.value.ticksPerSecond : 100
}

/** Reports the stage markers that the command appends to $BYRE_STAGE_FILE. */
function watchStageFile(
  path: string,
  onStage: (name: string) => void,
): { readonly poll: () => void; readonly stop: () => void } {
  let seen = 0
  const scanner = createMarkerScanner()
  const poll = (): void => {
    let bytes: Buffer
    try {
      bytes = readFileSync(path)
    } catch {
      return // not written yet
    }
    for (const name of scanner.scan(bytes.subarray(seen))) onStage(name)
    seen = bytes.length
  }
  const timer = setInterval(poll, STAGE_FILE_POLL_MS)
  return { poll, stop: () => clearInterval(timer) }
}

/** The command runs in a separate session, so it receives a Ctrl-C of the terminal only from here. */
function forwardSignals(
  o: RunOptions,
  pid: number,
  sampler: Sampler,
  cgroup: MemoryCgroup | undefined,
): () => void {
  const interrupt = (): void => signalGroup(pid, 'SIGINT')
  const kill = (): void => {
    for (const member of membersOf(sampler, cgroup)) signal(member.pid, 'SIGKILL')
  }
  if (o.kill.aborted) kill()
  else if (o.interrupt.aborted) interrupt()
  o.interrupt.addEventListener('abort', interrupt, { once: true })
  o.kill.addEventListener('abort', kill, { once: true })
  return () => {
    o.interrupt.removeEventListener('abort', interrupt)
    o.kill.removeEventListener('abort', kill)
  }
}

function membersOf(sampler: Sampler, cgroup: MemoryCgroup | undefined): RemainingProcess[] {
  const found = new Map(sampler.members().map((p) => [p.pid, { pid: p.pid, name: p.comm }]))
  for (const pid of cgroup?.members() ?? []) if (!found.has(pid)) found.set(pid, { pid, name: 'unknown' })
  return [...found.values()]
}

/** Kills the processes that outlived the command, in several passes, since they may fork meanwhile. */
async function killRemaining(
  sampler: Sampler,
  cgroup: MemoryCgroup | undefined,
): Promise<RemainingProcess[]> {
  const remaining = membersOf(sampler, cgroup)
  for (let tries = 0, alive = remaining; alive.length > 0 && tries < MAX_END_TRIES; tries++) {
    for (const { pid } of alive) signal(pid, 'SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, 10))
    alive = membersOf(sampler, cgroup)
  }
  return remaining
}

async function closeOutputs(launched: Launched, outputs: readonly Promise<void>[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      launched.stdout.destroy()
      launched.stderr.destroy()
      launched.kill()
      resolve()
    }, PIPES_MS)
  })
  await Promise.race([Promise.all([...outputs, launched.closed]), late])
  clearTimeout(timer)
}

/** A cgroup stays busy for a moment after its last process has ended. */
async function removeCgroup(cgroup: MemoryCgroup): Promise<void> {
  for (let tries = 0; tries < MAX_END_TRIES && !cgroup.remove(); tries++)
    await new Promise((resolve) => setTimeout(resolve, 10))
}

function limitFacts(
  limitBytes: number | undefined,
  imposed: boolean,
  cgroup: MemoryCgroup | undefined,
  outcome: Outcome,
): LimitFacts | undefined {
  if (limitBytes === undefined) return undefined
  const events = cgroup?.events()
  if (!imposed || events === undefined)
    return { limitBytes, fit: 'not-imposed', evidence: 'there is no cgroup to impose it on' }
  // Some kernels never count a failed charge on v1 (6.18, for example). A peak at the limit shows the same; each core may
  // hold back a batch of 64 pages.
  const peak = cgroup?.peakBytes() ?? 0
  const atLimit = events.reclaims > 0 || peak >= limitBytes - CHARGE_BATCHES_BYTES
  const evidence = `OOM kills ${events.oomKills}, times the limit was reached ${events.reclaims}, peak ${peak}, ended ${describe(outcome)}`
  const fit = events.oomKills > 0 ? 'killed' : atLimit ? 'reclaimed' : 'fitted'
  return { limitBytes, fit, evidence }
}

function describe(outcome: Outcome): string {
  if (outcome.kind === 'exited') return `with status ${outcome.code}`
  return outcome.kind === 'killed' ? `by ${outcome.signal}` : 'before it started'
}

function difference(before: ReturnType<typeof readNetwork>): ReturnType<typeof readNetwork> {
  const after = readNetwork()
  if (before === undefined || after === undefined) return undefined
  return {
    receivedBytes: after.receivedBytes - before.receivedBytes,
    sentBytes: after.sentBytes - before.sentBytes,
  }
}

function sizes(o: RunOptions): Record<string, number> {
  const found: Record<string, number> = {}
  for (const [name, path] of Object.entries(o.sizes)) {
    const size = sizeOf(join(path.startsWith('/') ? '' : o.cwd, path))
    if (size !== undefined) found[name] = size.bytes
  }
  return found
}

function signalGroup(pid: number, name: NodeJS.Signals): void {
  signal(-pid, name)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // it has already ended
  }
}
