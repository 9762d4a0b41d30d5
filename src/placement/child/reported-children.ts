// The child processes of a module in a thread: the supervisor, in whose process they run, ends them when the run has ended, and
// reads what they print to an inherited stdout or stderr.

import { threadId } from 'node:worker_threads'
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../log/logger.ts'
import type { ChildrenSink, RunningChild } from '../../ownership/run-scope.ts'
import { readStat } from '../../procfs/stat.ts'
import { fifoStem, openWritingEnds, reportNoPipes } from '../output-pipes.ts'
import { RunningChildren } from '../running-children.ts'
import type { Link } from '../wire/link.ts'
import { line } from '../wire/protocol.ts'

/** The thread stays for this time at most until its children have ended, ms: only the thread that has started a process can wait
 *  for it, and without that it remains as a zombie until the supervisor ends. */
const WAIT_MS = 250
const CHECK_MS = 5

export class ReportedChildren implements ChildrenSink {
  readonly #link: Link
  readonly #log: Logger
  readonly #folder: string
  /** Without the detached ones. */
  readonly #children = new RunningChildren()
  #fds: readonly [stdout: number, stderr: number] | undefined
  #opened = false

  /** `folder`: for the FIFOs of inherited output. */
  constructor(link: Link, log: Logger, folder: string) {
    this.#link = link
    this.#log = log
    this.#folder = folder
  }

  started(child: RunningChild, detached: boolean): void {
    if (!detached) this.#children.add(child)
    try {
      const stat = readStat(child.pid)
      if (stat.ok) this.#report(line('child', child.pid, stat.value.startTicks))
    } catch {
      // No file can be opened. It has been started all the same.
    }
  }

  readonly outputFds = (): readonly [stdout: number, stderr: number] | undefined => {
    if (!this.#opened) this.#open()
    return this.#fds
  }

  /** The supervisor ends the others when the run has ended; it receives no report any more of a late one. */
  end(child: RunningChild, late: boolean): void {
    if (late && this.#children.all().includes(child)) process.kill(child.pid, 'SIGKILL')
  }

  /** Resolves when the thread may end: its children have ended, or WAIT_MS have passed. */
  async waitedFor(clock: Clock): Promise<void> {
    const endAt = clock.monotonic() + WAIT_MS
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (this.#children.all().length === 0 || clock.monotonic() >= endAt) resolve()
        else clock.setTimer(CHECK_MS, check)
      }
      check()
    })
  }

  #open(): void {
    this.#opened = true
    try {
      this.#fds = openWritingEnds(fifoStem(this.#folder, threadId))
      this.#report(line('output', threadId))
    } catch (error) {
      reportNoPipes(this.#log, error)
    }
  }

  #report(text: string): void {
    this.#link.send(text)
    this.#link.flush() // the thread may end in this turn
  }
}
