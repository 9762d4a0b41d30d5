// One measured run of one command: starts it in a cgroup of its own, samples it, waits, ends what it left, and says what
// was seen. Effects only; what samples come to is in series.ts.

import { rmSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readAuxv } from '../procfs/auxv.ts'
import { readNetwork } from './host-facts.ts'
import type { Launched } from './launcher.ts'
import type { MemoryCgroup } from './memory-cgroup.ts'
import { createMarkerScanner } from './markers.ts'
import { openOutputLog } from './output-log.ts'
import { sizeOf, verify } from './paths.ts'
import { place } from './place.ts'
import type { Leftover, LimitFacts, Outcome, RunResult } from './result.ts'
import { assembleRun } from './run-figures.ts'
import { startSampler } from './sampler.ts'
import type { Sampler } from './sampler.ts'
import { createSeries } from './series.ts'
import type { RunOptions } from './run-options.ts'

/** Output pipes that an escaped process holds open are given up after this. */
const PIPES_MS = 500
const STAGE_FILE_MS = 50
const END_TRIES = 100
const BATCHES_BYTES = 4 * 64 * 4096

export async function runOnce(o: RunOptions): Promise<RunResult> {
  const startedAt = new Date().toISOString()
  const scratch = mkdtempSync(join(tmpdir(), 'byre-measure-'))
  const stageFile = join(scratch, 'stage')
  const placed = await place(o.command, { ...o, env: { ...o.env, BYRE_STAGE_FILE: stageFile } })
  let announced: string | undefined
  const onStage = (name: string): void => void (announced = name === '' ? undefined : name)
  const log = openOutputLog(o.logPath, o.logMaxBytes, onStage)
  const { cgroup } = placed
  try {
    const limited = o.limitBytes !== undefined && cgroup?.limit(o.limitBytes) === true
    const launched = await placed.launch()
    const networkBefore = readNetwork()
    const outputs = [
      log.attach(launched.stdout, (chunk) => o.onOutput?.(chunk, 'stdout')),
      log.attach(launched.stderr, (chunk) => o.onOutput?.(chunk, 'stderr')),
    ]
    const series = createSeries()
    const startedMs = performance.now()
    const started = await launched.go(cgroup?.joinFile)
    let outcome: Outcome
    let wallMs = 0
    let sampled: ReturnType<Sampler['stop']> | undefined
    let leftovers: readonly Leftover[] = []
    if ('refused' in started) outcome = { kind: 'not-started', reason: refusal(started.refused, o.command) }
    else {
      const stages = watchStageFile(stageFile, onStage)
      const sampler = startSampler({
        launcherPid: launched.launcherPid,
        commandPid: started.pid,
        cgroup,
        rules: o.rules,
        intervalMs: o.intervalMs,
        ticksPerSecond: ticksPerSecond(),
        series,
        // What was announced before a sample counts for it.
        announced: () => {
          stages.look()
          return announced
        },
        ...(o.onSample === undefined ? {} : { onSample: o.onSample }),
      })
      const release = passSignals(o, started.pid, sampler, cgroup)
      outcome = await launched.exited
      wallMs = performance.now() - startedMs
      release()
      stages.stop()
      leftovers = await endLeftovers(sampler, cgroup)
      sampled = sampler.stop()
    }
    // Before the launcher ends: systemd removes a scope, and all below it, with its last process.
    const peakBytes = cgroup?.peakBytes()
    const limit = limitFacts(o.limitBytes, limited, cgroup, outcome)
    const usage = await launched.end()
    await settle(launched, outputs)
    return assembleRun({
      o,
      startedAt,
      outcome,
      wallMs,
      usage,
      sampled,
      leftovers,
      placed,
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
    placed.release()
  }
}

function refusal(text: string, command: readonly string[]): string {
  if (text.startsWith('exec 2 ')) return `'${command[0]}' was not found`
  return text
    .replace(/^exec \d+ /, `'${command[0]}' cannot be executed: `)
    .replace(/^join \d+ /, 'its cgroup cannot be joined: ')
}

function ticksPerSecond(): number {
  const auxv = readAuxv()
  return auxv.ok ? auxv.value.ticksPerSecond : 100
}

/** What the command appends to $BYRE_STAGE_FILE: markers, or a bare name a line. */
function watchStageFile(
  path: string,
  onStage: (name: string) => void,
): { readonly look: () => void; readonly stop: () => void } {
  let seen = 0
  const scanner = createMarkerScanner()
  const look = (): void => {
    let bytes: Buffer
    try {
      bytes = readFileSync(path)
    } catch {
      return // not written yet
    }
    for (const name of scanner.scan(bytes.subarray(seen))) onStage(name)
    seen = bytes.length
  }
  const timer = setInterval(look, STAGE_FILE_MS)
  return { look, stop: () => clearInterval(timer) }
}

/** The command leads a session of its own, so a Ctrl-C of the terminal reaches it through here only. */
function passSignals(
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

function membersOf(sampler: Sampler, cgroup: MemoryCgroup | undefined): Leftover[] {
  const found = new Map(sampler.members().map((p) => [p.pid, { pid: p.pid, name: p.comm }]))
  for (const pid of cgroup?.members() ?? []) if (!found.has(pid)) found.set(pid, { pid, name: 'unknown' })
  return [...found.values()]
}

/** Ends what outlived the command; who forks meanwhile is found in the next pass. */
async function endLeftovers(sampler: Sampler, cgroup: MemoryCgroup | undefined): Promise<Leftover[]> {
  const left = membersOf(sampler, cgroup)
  for (let tries = 0, alive = left; alive.length > 0 && tries < END_TRIES; tries++) {
    for (const { pid } of alive) signal(pid, 'SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, 10))
    alive = membersOf(sampler, cgroup)
  }
  return left
}

async function settle(launched: Launched, outputs: readonly Promise<void>[]): Promise<void> {
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

/** A cgroup is busy for a moment after its last process has ended. */
async function removeCgroup(cgroup: MemoryCgroup): Promise<void> {
  for (let tries = 0; tries < END_TRIES && !cgroup.remove(); tries++)
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
    return { limitBytes, fit: 'not-imposed', evidence: 'there is no cgroup that could impose it' }
  // Some v1 kernels (seen: 6.18) never count a failed charge. A peak at the limit is the same fact; each core may hold
  // back a batch of 64 pages.
  const peak = cgroup?.peakBytes() ?? 0
  const atLimit = events.reclaims > 0 || peak >= limitBytes - BATCHES_BYTES
  const evidence = `oom kills ${events.oomKills}, times the limit was reached ${events.reclaims}, peak ${peak}, ended ${describe(outcome)}`
  const fit = events.oomKills > 0 ? 'killed' : atLimit ? 'reclaimed' : 'fitted'
  return { limitBytes, fit, evidence }
}

function describe(outcome: Outcome): string {
  if (outcome.kind === 'exited') return `with status ${outcome.code}`
  return outcome.kind === 'killed' ? `by ${outcome.signal}` : 'before it began'
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
    // It has ended meanwhile.
  }
}
