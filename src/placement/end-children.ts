// Ends the child processes that runs have left, and their descendants: SIGTERM, then SIGKILL after a grace. It reads the table of
// processes in rounds, one for all runs, and holds the loop for a few milliseconds at a time. Loaded with the first run that
// leaves some.
//
// A process belongs to a run if it descends from one that the run started. The parent of an orphan is unknown, so a tree is
// first stopped with SIGSTOP until no new process appears: a parent that forks while it is being ended would leave an
// orphan. A worker's own process leads a session; there all members of the session belong to the run, orphans included.

import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import { reportChildren, reportKilledChildren, reportUnendedChildren } from '../herd/leftovers.ts'
import { inSlices, readProcessTableInSlices, selectTree } from '../measure/process-tree.ts'
import type { ProcessTable } from '../measure/process-tree.ts'
import { isRunning } from '../ownership/run-scope.ts'
import type { RunningChild } from '../ownership/run-scope.ts'
import { readCmdline } from '../procfs/cmdline.ts'
import { readStat } from '../procfs/stat.ts'
import type { ProcessIdentity, ProcStat } from '../procfs/stat.ts'

export interface EndRequest {
  readonly log: Logger
  /** Time between SIGTERM and SIGKILL, ms. */
  readonly graceMs: number
  /** Processes that the run has started. */
  readonly roots: readonly ProcessIdentity[]
  /** The worker's own process, which has ended and led a session. Absent for a run in the process of the supervisor. */
  readonly leader?: ProcessIdentity | undefined
}

/** The loop is held for this time at most, ms. */
const SLICE_MS = 2
/** Pause after each slice of signals, ms: Node handles the ends of all children that have ended in one turn, 30 us each. */
const SEND_PAUSE_MS = 5
/** Rounds in which a tree is stopped; one that still grows is ended as it is. */
const STOP_ROUNDS = 10
/** First and longest pause between two rounds, ms. */
const PAUSE_MS = 20
const PAUSE_MAX_MS = 250
/** What does not end by SIGKILL in this time is reported, ms. */
const KILL_MS = 1500
const NAMED_MAX = 20
/** Longest name of a program; its process may have written more there. */
const PROGRAM_LENGTH = 64
/** Failed reads of the table of processes in a row. */
const FAILURES_MAX = 8

/** The processes of a run in one table: those to be ended, and the leaders of other sessions among their descendants. Pure. */
export function selectChildren(
  table: ProcessTable,
  session: number,
  leader: ProcessIdentity | undefined,
  known: Iterable<ProcessIdentity>,
): { readonly running: ProcStat[]; readonly detached: ProcStat[] } {
  // While a session has members the kernel does not reuse its number as a pid.
  const reused = leader !== undefined && (table.get(leader.pid) ?? leader).startTicks !== leader.startTicks
  const tree = selectTree(table, undefined, {
    known,
    ...(leader === undefined || reused ? {} : { session: leader.pid }),
  }).filter(({ pid, state }) => pid !== leader?.pid && state !== 'Z' && state !== 'X')
  return {
    running: tree.filter((stat) => stat.session === session),
    detached: tree.filter((stat) => stat.session !== session && stat.pid === stat.session),
  }
}

export class ChildrenEnder {
  readonly #clock: Clock
  /** The session of this process, to which its children belong. */
  readonly #session: number
  readonly #endings = new Set<Ending>()
  #running = false
  /** Ends the pause between two rounds. */
  #wake: () => void = () => {}

  constructor(clock: Clock) {
    const own = readStat('self')
    this.#clock = clock
    this.#session = own.ok ? own.value.session : 0
  }

  /** Resolves when they have ended or were reported as left; at the latest 3 s after the grace. Never rejects. */
  async end(request: EndRequest): Promise<void> {
    return new Promise((resolve) => {
      this.#endings.add(new Ending(request, this.#session, resolve))
      if (this.#running) this.#wake()
      else void this.#run()
    })
  }

  /** The same for children of this thread. */
  async endRunning(
    children: readonly RunningChild[],
    settings: Omit<EndRequest, 'roots' | 'leader'>,
  ): Promise<void> {
    const roots: ProcessIdentity[] = []
    await inSlices(children, SLICE_MS, (child) => {
      const stat = isRunning(child) ? readStat(child.pid) : undefined
      if (stat?.ok === true) roots.push(stat.value)
    })
    await this.end({ ...settings, roots })
  }

  async #run(): Promise<void> {
    this.#running = true
    for (let failures = 0; this.#endings.size > 0; ) {
      try {
        await this.#round([...this.#endings])
        failures = 0
      } catch (error) {
        if (++failures >= FAILURES_MAX) this.#giveUp(error) // the limit of open files, or of memory
      }
      const pauses = Array.from(this.#endings, ({ pauseMs }) => (failures > 0 ? PAUSE_MAX_MS : pauseMs))
      if (pauses.length > 0) await this.#pause(Math.min(...pauses))
    }
    this.#running = false
  }

  async #round(endings: readonly Ending[]): Promise<void> {
    const table = await readProcessTableInSlices(SLICE_MS)
    for (const ending of endings) if (await ending.step(table, this.#clock.monotonic())) this.#remove(ending)
  }

  #giveUp(error: unknown): void {
    for (const ending of this.#endings) {
      ending.failed(error)
      this.#remove(ending)
    }
  }

  #remove(ending: Ending): void {
    this.#endings.delete(ending)
    ending.done()
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimer(ms, resolve)
      this.#wake = () => {
        timer.cancel()
        resolve()
      }
    })
  }
}

/** The end of the processes of one run, in steps: one in each round. */
class Ending {
  readonly #request: EndRequest
  readonly #session: number
  readonly done: () => void
  /** Pause before the next round, ms. */
  pauseMs = 0
  #signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'
  /** 'stop': before the signal is sent, the tree is stopped; 'wait': it was sent at #sentAt. */
  #stage: 'stop' | 'wait' = 'stop'
  #stopRounds = 0
  #sentAt = 0
  readonly #known = new Map<number, ProcessIdentity>()

  constructor(request: EndRequest, session: number, done: () => void) {
    this.#request = request
    this.#session = request.leader?.pid ?? session
    this.done = done
    for (const root of request.roots) this.#known.set(root.pid, root)
  }

  /** Returns true when nothing is left to do. */
  async step(table: ProcessTable, now: number): Promise<boolean> {
    const { leader } = this.#request
    const { running, detached } = selectChildren(table, this.#session, leader, this.#known.values())
    const added = running.filter(({ pid, startTicks }) => this.#known.get(pid)?.startTicks !== startTicks)
    for (const stat of added) this.#known.set(stat.pid, stat)
    if (this.#stage === 'wait') {
      if (running.length === 0) return true
      const lastMs = this.#signal === 'SIGTERM' ? this.#request.graceMs : KILL_MS
      if (now - this.#sentAt < lastMs) {
        await this.#send(this.#signal === 'SIGTERM' ? added : running)
        this.pauseMs = Math.min(this.pauseMs * 2, PAUSE_MAX_MS, this.#sentAt + lastMs - now)
        return false
      }
      if (this.#signal === 'SIGKILL') return this.#giveUp(running)
      this.#signal = 'SIGKILL'
      this.#stage = 'stop'
      this.#stopRounds = 0
    }
    if (await this.#stop(this.#stopRounds === 0 ? running : added)) return false
    if (this.#signal === 'SIGTERM') reportChildren(this.#request.log, names(running), names(detached))
    if (running.length === 0) return true
    await this.#send(running)
    if (this.#signal === 'SIGKILL')
      reportKilledChildren(this.#request.log, names(running), this.#request.graceMs)
    this.#stage = 'wait'
    this.#sentAt = now
    this.pauseMs = PAUSE_MS
    return false
  }

  /** Stops what may fork. Returns true when another round has to show whether it has forked. */
  async #stop(processes: readonly ProcStat[]): Promise<boolean> {
    if (this.#request.leader !== undefined) return false
    if (processes.length === 0 || this.#stopRounds++ >= STOP_ROUNDS) return false
    await inSlices(processes, SLICE_MS, (each) => send(each, 'SIGSTOP'))
    this.pauseMs = 0
    return true
  }

  async #send(processes: readonly ProcStat[]): Promise<void> {
    // A stopped process receives the signal once it continues.
    await inSlices(
      processes,
      SLICE_MS,
      (each) => send(each, this.#signal, 'SIGCONT'),
      async () => sleep(SEND_PAUSE_MS),
    )
  }

  #giveUp(running: readonly ProcStat[]): true {
    const why = 'they run as another user, or the kernel holds them'
    reportUnendedChildren(this.#request.log, names(running), why)
    return true
  }

  failed(error: unknown): void {
    const left = Array.from(this.#known.keys(), (pid) => `pid ${pid}`)
    reportUnendedChildren(this.#request.log, limit(left, left.length), describeThrown(error).message)
  }
}

function send({ pid, startTicks }: ProcessIdentity, ...signals: readonly NodeJS.Signals[]): void {
  const stat = readStat(pid)
  if (!stat.ok || stat.value.startTicks !== startTicks) return
  try {
    for (const signal of signals) process.kill(pid, signal)
  } catch {
    // It has ended, or runs as another user: the next round shows which.
  }
}

function names(processes: readonly ProcStat[]): string[] {
  return limit(processes.slice(0, NAMED_MAX).map(nameOf), processes.length)
}

/** Its program, not the name that the kernel shows: every process of Node 24 is called MainThread there. */
function nameOf({ comm, pid }: ProcStat): string {
  const cmdline = readCmdline(pid)
  const program = cmdline.ok ? cmdline.value[0] : undefined
  return `${program === undefined ? comm : basename(program).slice(0, PROGRAM_LENGTH)} (pid ${pid})`
}

/** `total`: how many there are. */
function limit(named: readonly string[], total: number): string[] {
  return total <= NAMED_MAX ? [...named] : [...named.slice(0, NAMED_MAX), `and ${total - NAMED_MAX} more`]
}
