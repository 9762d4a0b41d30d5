// Placement `process`: the worker in a child with V8 limits of its own. A module has a wire to the supervisor, and so has a
// script with `inside`: descriptor 3, or the first one after the sockets that systemd opened, which keep their numbers. Any
// other script is `node script` and is watched from outside.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { takeFatalReport } from '../herd/last-run.ts'
import { inheritedSockets } from './child-settings.ts'
import type { LaunchRequest, Placement } from '../herd/placement.ts'
import { createMemoryCgroups } from './memory-cgroup.ts'
import type { MemoryCgroups } from './memory-cgroup.ts'
import { createOutputPipes } from './output-pipes.ts'
import type { OpenOutputPipes } from './output-pipes.ts'
import { explainEnd } from './process-end.ts'
import type { ProcessEnd } from './process-end.ts'
import { commandLine, environment, isWired } from './process-launch.ts'
import { createReaper } from './reaper.ts'
import type { Reaper } from './reaper.ts'
import { witnessOom } from './oom-witness.ts'
import type { OomFinding } from './oom-witness.ts'
import { createChildPlacement } from './child-run.ts'
import type { SpawnChild, ChildHost, ChildHandle, ChildEvents } from './child-handle.ts'
import { socketTransport } from './wire/socket-transport.ts'
import type { StartNote } from './wire/start-note.ts'

/** What is kept of stderr, to explain an end nobody else explains; characters. */
const TAIL_LENGTH = 4096

/** What all processes of the herd have in common. */
interface Host {
  readonly cgroups: MemoryCgroups
  readonly reaper: Reaper
  readonly openPipes: OpenOutputPipes
}

export function createProcessPlacement(parts: ChildHost): Placement {
  const { log, clock, reportFolder } = parts
  const host: Host = {
    cgroups: createMemoryCgroups(log),
    reaper: createReaper(log, clock),
    openPipes: createOutputPipes(reportFolder, log),
  }
  const open: SpawnChild = (request, given, events) => openProcess(request, given, events, host)
  return createChildPlacement('process', open, parts)
}

function openProcess(request: LaunchRequest, parts: ChildHost, events: ChildEvents, host: Host): ChildHandle {
  const { spec } = request
  const { name, memoryMaxBytes } = spec
  const own = memoryMaxBytes === undefined ? undefined : host.cgroups.open(name, memoryMaxBytes)
  const report = { folder: parts.reportFolder, name: `${parts.label}.${name}.report.json` }
  const { child, outputs, wire } = start(request, report, host.openPipes)
  const tail = collect(outputs, (stream, chunk) => parts.output(name, stream, chunk))
  if (child.pid !== undefined) own?.add(child.pid)
  let oom: (() => OomFinding) | undefined
  let reaped = (): void => {}
  child.once('spawn', () => {
    const pid = child.pid as number
    oom = witnessOom(pid)
    reaped = host.reaper.watch({ pid, graceMs: spec.stopTimeoutMs, ask: spec.source.kind === 'script' })
    events.up({ pid })
  })
  onceGone(child, outputs, parts, (end) => {
    reaped()
    const finding = oom?.() // before its cgroup goes
    const cgroup = own?.end()
    events.gone(() => {
      const fatal = takeFatalReport(join(report.folder, report.name))
      return explainEnd(spec, {
        ...end,
        tail: tail(),
        ...(fatal === undefined ? {} : { report: fatal }),
        ...(cgroup === undefined ? {} : { cgroup }),
        oom: finding,
      })
    })
  })
  const transport = wire === undefined ? undefined : socketTransport(wire)
  transport?.listen({ text: events.text, drained: events.drained, ended: () => {} })
  return {
    transport,
    interrupt: () => void child.kill('SIGTERM'),
    kill: () => void child.kill('SIGKILL'),
    close: () => wire?.destroy(),
  }
}

/** After stdin, stdout and stderr. */
const FIRST_FD = 3

interface Outputs {
  readonly stdout: Readable | null
  readonly stderr: Readable | null
}

interface Started {
  readonly child: ChildProcess
  readonly outputs: Outputs
  readonly wire: Socket | undefined
}

function start({ spec }: LaunchRequest, report: StartNote['report'], openPipes: OpenOutputPipes): Started {
  const sockets = Array.from({ length: inheritedSockets() }, (_, i) => FIRST_FD + i)
  const fd = FIRST_FD + sockets.length
  const wired = isWired(spec)
  const pipes = openPipes()
  try {
    const [stdout, stderr] = pipes?.childFds ?? (['pipe', 'pipe'] as const)
    const child: ChildProcess = spawn(process.execPath, commandLine(spec, process.execArgv), {
      ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
      env: environment(spec, wired ? { fd, report } : undefined),
      stdio: ['ignore', stdout, stderr, ...sockets, ...(wired ? ['pipe' as const] : [])],
    })
    const wire = wired ? (child.stdio[fd] as Socket | null | undefined) : undefined
    return { child, outputs: pipes ?? child, wire: wire ?? undefined }
  } catch (error) {
    pipes?.stdout.destroy()
    pipes?.stderr.destroy()
    throw error
  } finally {
    pipes?.closeChildFds()
  }
}

/** Hands on what is written. The returned function gives the last of stderr. */
function collect(
  { stdout, stderr }: Outputs,
  output: (stream: 'stdout' | 'stderr', chunk: Buffer) => void,
): () => string {
  let tail = ''
  stdout?.on('data', (chunk: Buffer) => output('stdout', chunk))
  stderr?.on('data', (chunk: Buffer) => {
    tail = (tail + chunk.toString('utf8')).slice(-TAIL_LENGTH)
    output('stderr', chunk)
  })
  return () => tail
}

/** What a child left behind may hold its output open: its end is not waited for longer than this. */
const DRAIN_MS = 250

/** Calls `then` once: at the end of the child and of its output, or when it never began. */
function onceGone(
  child: ChildProcess,
  { stdout, stderr }: Outputs,
  parts: ChildHost,
  then: (end: ProcessEnd) => void,
): void {
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
    const open = [stdout, stderr].filter((stream) => stream !== null && !stream.closed)
    if (open.length === 0) return finish({ code, signal })
    const timer = parts.clock.setTimer(DRAIN_MS, () => finish({ code, signal }))
    let left = open.length
    for (const stream of open)
      stream?.once('close', () => {
        if (--left > 0) return
        timer.cancel()
        finish({ code, signal })
      })
  })
}
