// Placement `process`: the worker in a child with V8 limits of its own. The wire is descriptor 3, or the first one after the
// sockets that systemd opened, which keep their numbers.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { ResolvedWorker } from '../../config/types.ts'
import { takeFatalReport } from '../last-run.ts'
import type { FatalReport } from '../last-run.ts'
import { mallocSetting } from '../../base/malloc.ts'
import { guestEnvironment, heapLimitMiB, heapRemedy, inheritedSockets } from './guest-settings.ts'
import type { Exit, LaunchRequest, Placement } from './placement.ts'
import { wireSetting } from './wire/wire-fd.ts'
import { createMemoryCgroups } from './memory-cgroup.ts'
import type { CgroupMemory, MemoryCgroups } from './memory-cgroup.ts'
import { createReaper } from './reaper.ts'
import type { Reaper } from './reaper.ts'
import { witnessOom } from './oom-witness.ts'
import type { OomFinding } from './oom-witness.ts'
import { createRemotePlacement } from './remote.ts'
import type { OpenSeat, RemoteParts, Seat, SeatEvents } from './remote.ts'
import { socketTransport } from './wire/socket-transport.ts'

const ENTRY = fileURLToPath(new URL('guest/process-entry.js', import.meta.url))
const PRELOAD = new URL('guest/script-preload.js', import.meta.url).href
/** What is kept of stderr, to explain an end nobody else explains; characters. */
const TAIL_LENGTH = 4096

export function createProcessPlacement(parts: RemoteParts): Placement {
  const host = { cgroups: createMemoryCgroups(parts.log), reaper: createReaper(parts.log, parts.clock) }
  const open: OpenSeat = (request, given, events) => openProcess(request, given, events, host)
  return createRemotePlacement('process', open, parts)
}

function openProcess(
  request: LaunchRequest,
  parts: RemoteParts,
  events: SeatEvents,
  { cgroups, reaper }: { readonly cgroups: MemoryCgroups; readonly reaper: Reaper },
): Seat {
  const { spec } = request
  const { name, memoryMaxBytes } = spec
  const own = memoryMaxBytes === undefined ? undefined : cgroups.open(name, memoryMaxBytes)
  const report = { folder: parts.reportFolder, name: `${parts.label}.${spec.name}.report.json` }
  const sockets = Array.from({ length: inheritedSockets() }, (_, i) => FIRST_FD + i)
  const wireFd = FIRST_FD + sockets.length
  const child = spawn(process.execPath, commandLine(spec, report), {
    ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
    env: { ...withMalloc(guestEnvironment(spec)), ...wireSetting(wireFd) },
    stdio: ['ignore', 'pipe', 'pipe', ...sockets, 'pipe'],
  })
  let tail = ''
  child.stdout?.on('data', (chunk: Buffer) => parts.output(spec.name, 'stdout', chunk))
  child.stderr?.on('data', (chunk: Buffer) => {
    tail = (tail + chunk.toString('utf8')).slice(-TAIL_LENGTH)
    parts.output(spec.name, 'stderr', chunk)
  })
  if (child.pid !== undefined) own?.add(child.pid)
  let oom: (() => OomFinding) | undefined
  let reaped = (): void => {}
  child.once('spawn', () => {
    oom = witnessOom(child.pid as number)
    reaped = reaper.watch(child.pid as number, spec.stopTimeoutMs)
    events.up({ pid: child.pid as number })
  })
  // 'close' comes after its output was read to the end; what it left behind may hold the pipes, so it is not waited for
  // longer than this.
  onceGone(child, parts, (end) => {
    reaped()
    const finding = oom?.() // before its cgroup goes
    const cgroup = own?.end()
    events.gone(() => {
      const fatal = takeFatalReport(join(report.folder, report.name))
      return explainEnd(spec, {
        ...end,
        tail,
        ...(fatal === undefined ? {} : { report: fatal }),
        ...(cgroup === undefined ? {} : { cgroup }),
        oom: finding,
      })
    })
  })
  const wire = child.stdio[wireFd] as Socket | null | undefined
  const transport = wire === null || wire === undefined ? undefined : socketTransport(wire)
  transport?.listen({ text: events.text, drained: events.drained, ended: () => {} })
  return {
    transport: spec.source.kind === 'script' ? undefined : transport,
    interrupt: () => void child.kill('SIGTERM'),
    kill: () => void child.kill('SIGKILL'),
    close: () => wire?.destroy(),
  }
}

/** After stdin, stdout and stderr. */
const FIRST_FD = 3

interface ProcessEnd {
  readonly error?: Error
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

const DRAIN_MS = 250

/** Calls `then` once: at the end of the child and of its output, or when it never began. */
function onceGone(child: ChildProcess, parts: RemoteParts, then: (end: ProcessEnd) => void): void {
  let over = false
  const finish = (end: ProcessEnd): void => {
    if (over) return
    over = true
    then(end)
  }
  child.once('error', (error) => {
    if (child.pid === undefined) finish({ error, code: null, signal: null })
  })
  child.once('exit', (code, signal) => {
    const timer = parts.clock.setTimer(DRAIN_MS, () => finish({ code, signal }))
    child.once('close', () => {
      timer.cancel()
      finish({ code, signal })
    })
  })
}

function commandLine(spec: ResolvedWorker, report: { folder: string; name: string }): string[] {
  const heap = heapLimitMiB(spec)
  const flags = [
    ...inheritedFlags(process.execArgv),
    ...(heap === undefined ? [] : [`--max-old-space-size=${heap}`]),
    '--report-on-fatalerror',
    '--report-compact',
    `--report-directory=${report.folder}`,
    `--report-filename=${report.name}`,
  ]
  const { source } = spec
  if (source.kind === 'script') return [...flags, `--import=${PRELOAD}`, source.path, ...source.args]
  return [...flags, ENTRY]
}

/** Flags of the supervisor's own node that are for its workers as well. */
const INHERITED =
  /^(?:--(max-semi-space-size|enable-source-maps|conditions|import|require|no-warnings|trace-)|-[Cr]$)/
/** Of these, the ones whose value may be the next argument: `--import x` and `--import=x` are one. */
const TAKES_VALUE = /^(?:--(?:max-semi-space-size|conditions|import|require)|-[Cr])$/

export function inheritedFlags(execArgv: readonly string[]): string[] {
  return execArgv.flatMap((flag, i) => {
    if (!INHERITED.test(flag)) return []
    const value = TAKES_VALUE.test(flag) ? execArgv[i + 1] : undefined
    return value === undefined ? [flag] : [flag, value]
  })
}

interface Death extends ProcessEnd {
  /** Of its stderr. */
  readonly tail: string
  readonly report?: FatalReport
  readonly oom: OomFinding | undefined
  /** Where it had one of its own. */
  readonly cgroup?: CgroupMemory
}

function explainEnd(spec: ResolvedWorker, end: Death): Exit {
  const { tail, report, cgroup } = end
  const evidence = {
    code: end.code,
    signal: end.signal,
    ...(tail === '' ? {} : { stderr: tail }),
    ...(report === undefined ? {} : { report }),
    ...(cgroup === undefined ? {} : { cgroup }),
  }
  if (end.error !== undefined) {
    const text = `its process could not be started: ${end.error.message}`
    return {
      verdict: 'launch-failed',
      text,
      evidence: { ...evidence, code: (end.error as NodeJS.ErrnoException).code },
    }
  }
  const heap = /heap|memory/i.test(report?.event ?? '') || /JavaScript heap out of memory/.test(tail)
  if (heap) return { verdict: 'oom-heap', text: outOfHeap(spec, report), evidence }
  const signal = end.signal ?? signalOfCode(end.code)
  if (signal === 'SIGKILL') return killed(end, evidence)
  if (signal !== null)
    return {
      verdict: 'killed',
      text: `its process was killed by ${signal}`,
      evidence: { ...evidence, unavailable: { sender: NO_SENDER } },
    }
  if (end.code === 0)
    return spec.source.kind === 'script'
      ? { verdict: 'done', text: 'the script ended', evidence: { code: 0 } }
      : {
          verdict: 'unknown',
          text: 'its process ended without a word',
          evidence: {
            ...evidence,
            unavailable: { reason: 'it left with code 0 past process.exit', report: 'V8 wrote none' },
          },
        }
  return { verdict: 'failed', text: `its process ended with code ${end.code}`, evidence }
}

const NO_SENDER = 'the kernel does not tell who sent a signal'

/** SIGKILL: the kernel's, when its cgroup counts a kill for want of memory, or somebody's. */
function killed({ oom, cgroup }: Death, evidence: Readonly<Record<string, unknown>>): Exit {
  const text = 'its process was killed by SIGKILL'
  if (oom === undefined || 'unavailable' in oom) {
    const reason = oom?.unavailable ?? 'it ended before its cgroup was read'
    const unavailable = { sender: NO_SENDER, oomKills: reason }
    return {
      verdict: 'killed',
      text: `${text}: somebody sent it, or the kernel wanted memory`,
      evidence: { ...evidence, unavailable },
    }
  }
  const { oomKills, file, shared } = oom
  const seen = { ...evidence, oomKills, cgroupFile: file }
  if (oomKills === 0)
    return {
      verdict: 'killed',
      text: `${text}: somebody sent it, the kernel killed nothing for want of memory`,
      evidence: { ...seen, unavailable: { sender: NO_SENDER } },
    }
  return {
    verdict: 'oom-host',
    text: `the kernel killed its process for want of memory${remedyFor(cgroup)}`,
    evidence: { ...seen, confidence: shared ? 'likely' : 'certain' },
  }
}

function remedyFor(cgroup: CgroupMemory | undefined): string {
  return cgroup === undefined
    ? '. Raise the limit of its unit or container, or bound it with memoryMax'
    : ` (limit ${Math.floor(cgroup.limitBytes / 1_048_576)} MiB, from memoryMax). Raise it, or find what it keeps`
}

function outOfHeap(spec: ResolvedWorker, report: FatalReport | undefined): string {
  const limit = heapLimitMiB(spec)
  const used =
    report?.heapUsedBytes === undefined ? '' : ` with ${(report.heapUsedBytes / 1e6).toFixed(0)} MB in use`
  return `V8 heap out of memory${used}${heapRemedy(spec.name, limit)}`
}

/** A shell or a wrapper between reports a signal as 128 + n. */
function signalOfCode(code: number | null): string | null {
  if (code === null || code <= 128 || code > 192) return null
  const found = Object.entries(constants.signals).find(([, number]) => number === code - 128)
  return found?.[0] ?? null
}

/** A setting of the worker's own stays, as units/byre leaves a user's. */
function withMalloc(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const given = env['MALLOC_MMAP_THRESHOLD_'] !== undefined || env['GLIBC_TUNABLES'] !== undefined
  return given ? env : { ...env, ...mallocSetting() }
}
