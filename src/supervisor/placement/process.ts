// Placement `process`: the worker in a child with V8 limits of its own. Descriptor 3 is the wire.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { ResolvedWorker } from '../../config/types.ts'
import { takeFatalReport } from '../last-run.ts'
import type { FatalReport } from '../last-run.ts'
import { guestEnvironment, heapLimitMiB } from './guest-settings.ts'
import type { Exit, LaunchRequest, Placement } from './placement.ts'
import { createRemotePlacement } from './remote.ts'
import type { RemoteParts, Seat, SeatEvents } from './remote.ts'
import { socketTransport } from './wire/socket-transport.ts'

const ENTRY = fileURLToPath(new URL('guest/process-entry.js', import.meta.url))
const PRELOAD = new URL('guest/script-preload.js', import.meta.url).href
/** What is kept of stderr, to explain an end nobody else explains; characters. */
const TAIL_LENGTH = 4096

export function createProcessPlacement(parts: RemoteParts): Placement {
  return createRemotePlacement('process', openProcess, parts)
}

function openProcess(request: LaunchRequest, parts: RemoteParts, events: SeatEvents): Seat {
  const { spec } = request
  const report = { folder: parts.reportFolder, name: `${parts.label}.${spec.name}.report.json` }
  const child = spawn(process.execPath, commandLine(spec, report), {
    ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
    env: guestEnvironment(spec),
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  let tail = ''
  child.stdout?.on('data', (chunk: Buffer) => parts.output(spec.name, 'stdout', chunk))
  child.stderr?.on('data', (chunk: Buffer) => {
    tail = (tail + chunk.toString('utf8')).slice(-TAIL_LENGTH)
    parts.output(spec.name, 'stderr', chunk)
  })
  child.once('spawn', () => events.up({ pid: child.pid as number }))
  // 'close' comes after its output was read to the end; what it left behind may hold the pipes, so it is not waited for
  // longer than this.
  onceGone(child, parts, (end) =>
    events.gone(() => explainEnd(spec, end, tail, takeFatalReport(join(report.folder, report.name)))),
  )
  const wire = child.stdio[3] as Socket | null | undefined
  const transport = wire === null || wire === undefined ? undefined : socketTransport(wire)
  transport?.listen({ text: events.text, drained: events.drained, ended: () => {} })
  return {
    transport: spec.source.kind === 'script' ? undefined : transport,
    interrupt: () => void child.kill('SIGTERM'),
    kill: () => void child.kill('SIGKILL'),
    close: () => wire?.destroy(),
  }
}

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
    ...process.execArgv.filter((flag) => INHERITED.test(flag)),
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
const INHERITED = /^--(max-semi-space-size|enable-source-maps|conditions|import|require|no-warnings|trace-)/

function explainEnd(spec: ResolvedWorker, end: ProcessEnd, tail: string, report?: FatalReport): Exit {
  const evidence = {
    code: end.code,
    signal: end.signal,
    ...(tail === '' ? {} : { stderr: tail }),
    ...(report === undefined ? {} : { report }),
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
  if (signal !== null) return { verdict: 'killed', text: `its process was killed by ${signal}`, evidence }
  if (end.code === 0)
    return spec.source.kind === 'script'
      ? { verdict: 'done', text: 'the script ended', evidence: { code: 0 } }
      : { verdict: 'unknown', text: 'its process ended without a word', evidence }
  return { verdict: 'failed', text: `its process ended with code ${end.code}`, evidence }
}

function outOfHeap(spec: ResolvedWorker, report: FatalReport | undefined): string {
  const limit = heapLimitMiB(spec)
  const used =
    report?.heapUsedBytes === undefined ? '' : ` with ${(report.heapUsedBytes / 1e6).toFixed(0)} MB in use`
  return `V8 heap out of memory${used}${limit === undefined ? '' : ` (limit ${limit} MiB, from memoryMax)`}`
}

/** A shell or a wrapper between reports a signal as 128 + n. */
function signalOfCode(code: number | null): string | null {
  if (code === null || code <= 128 || code > 192) return null
  const found = Object.entries(constants.signals).find(([, number]) => number === code - 128)
  return found?.[0] ?? null
}
