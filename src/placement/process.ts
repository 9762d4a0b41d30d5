// Placement `process`: the worker runs in a child process with separate V8 limits. A module has a wire to the supervisor,
// and so has a script with `inside`: descriptor 3, or the first one after the sockets that systemd opened, which keep their
// numbers. Any other script is `node script` and is watched from outside.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { takeFatalReport } from '../herd/last-run.ts'
import type { Clock } from '../base/clock.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import { readChildren } from '../procfs/children.ts'
import { readStat } from '../procfs/stat.ts'
import type { ProcessIdentity } from '../procfs/stat.ts'
import { createMemoryCgroups } from './memory-cgroup.ts'
import type { MemoryCgroups } from './memory-cgroup.ts'
import type { OpenOutputPipes } from './output-pipes.ts'
import { explainEnd, witnessOom } from './process-end.ts'
import type { OomFinding, ProcessEnd } from './process-end.ts'
import { commandLine, environment, inheritedSockets, isWired } from './launch-settings.ts'
import { createReaper } from './reaper.ts'
import type { Reaper } from './reaper.ts'
import type { ChildEvents, ChildHandle, ChildServices, SpawnChild } from './child-handle.ts'
import type { EndChildren } from './supervised-children.ts'
import { socketTransport } from './wire/transports.ts'
import type { StartNote } from './wire/start-note.ts'

/** How much of the end of stderr is kept to explain an unreported end; characters. */
const TAIL_LENGTH = 4096

/** Where V8 writes the fatal reports of the processes, and the prefix of their names. */
export interface ReportFiles {
  readonly folder: string
  readonly prefix: string
}

/** The resources that all processes of the herd share. */
interface ProcessHost {
  readonly clock: Clock
  readonly reports: ReportFiles
  readonly cgroups: MemoryCgroups
  readonly reaper: Reaper
  readonly openPipes: OpenOutputPipes
  readonly endChildren: EndChildren
}

export function createProcessSpawner(
  { clock, openPipes, endChildren }: Pick<ChildServices, 'clock' | 'openPipes' | 'endChildren'>,
  log: Logger,
  reports: ReportFiles,
): SpawnChild {
  const host: ProcessHost = {
    clock,
    reports,
    cgroups: createMemoryCgroups(log),
    reaper: createReaper(log, clock),
    openPipes,
    endChildren,
  }
  return ({ spec }, events) => spawnProcess(spec, events, host)
}

function spawnProcess(spec: ResolvedWorker, events: ChildEvents, host: ProcessHost): ChildHandle {
  const { name, memoryMaxBytes } = spec
  const { clock, reports, cgroups, reaper, openPipes, endChildren } = host
  const ownCgroup = memoryMaxBytes === undefined ? undefined : cgroups.open(name, memoryMaxBytes)
  const report = { folder: reports.folder, name: `${reports.prefix}.${name}.report.json` }
  const { child, outputs, wire } = start(spec, report, openPipes)
  const tail = forwardOutput(outputs, events.output)
  const tree = ownTree(child)
  if (child.pid !== undefined) ownCgroup?.add(child.pid)
  let oom: (() => OomFinding) | undefined
  let reaped = (): void => {}
  child.once('spawn', () => {
    const pid = child.pid as number
    oom = witnessOom(pid)
    reaped = reaper.watch({ pid, graceMs: spec.stopTimeoutMs, terminate: spec.source.kind === 'script' })
    events.up({ pid })
  })
  let ended = Promise.resolve()
  child.once('exit', () => {
    ended = endChildren(spec, tree.left())
  })
  onceGone(child, outputs, clock, (end) => {
    reaped()
    const finding = oom?.() // before its cgroup is removed
    const cgroup = ownCgroup?.end()
    void ended.then(() => ownCgroup?.remove())
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
    interrupt() {
      tree.note()
      child.kill('SIGTERM')
    },
    kill() {
      tree.note()
      child.kill('SIGKILL')
    },
    close() {
      tree.note()
      wire?.destroy()
    },
  }
}

interface OwnTree {
  /** Notes the children that it has now: afterwards those with a session of their own cannot be found. */
  note(): void
  /** What it has left behind; call when it has ended. */
  left(): Parameters<EndChildren>[1]
}

function ownTree(child: ChildProcess): OwnTree {
  const leader = identityOf(child)
  let roots: ProcessIdentity[] = []
  return {
    note() {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
        roots = readChildren(child.pid)
    },
    left: () => ({ roots, leader }),
  }
}

function identityOf({ pid }: ChildProcess): ProcessIdentity | undefined {
  try {
    const stat = pid === undefined ? undefined : readStat(pid)
    return stat?.ok === true ? stat.value : undefined
  } catch {
    return undefined // no file can be opened
  }
}

/** The first descriptor after stdin, stdout and stderr. */
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

function start(spec: ResolvedWorker, report: StartNote['report'], openPipes: OpenOutputPipes): Started {
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
      // It leads a session, as in a unit of its own: what it leaves behind is found by the number of the session.
      detached: true,
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

/** Passes on what is written. The returned function returns the end of stderr. */
function forwardOutput(
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

/** Processes that the child started may keep its output open: the end of the output is awaited for this long at most. */
const DRAIN_MS = 250

/** Calls `then` once: when the child and its output have ended, or when it could not be started. */
function onceGone(
  child: ChildProcess,
  { stdout, stderr }: Outputs,
  clock: Clock,
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
    const timer = clock.setTimer(DRAIN_MS, () => finish({ code, signal }))
    let left = open.length
    for (const stream of open)
      stream?.once('close', () => {
        if (--left > 0) return
        timer.cancel()
        finish({ code, signal })
      })
  })
}
