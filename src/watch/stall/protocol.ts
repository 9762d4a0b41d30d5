// The exchange between the supervisor's loop and the thread that watches it: the messages, the shared memory, and the note of a
// stall in progress, which the next start reads if the process is killed during the stall (takeStallNote).

import { rmSync, writeFileSync } from 'node:fs'
import type { Link } from '../../base/module-path.ts'
import type { LogFormat } from '../../log/output.ts'
import type { StackOwners } from '../../ownership/stack.ts'
import type { StallNote } from '../../herd/last-run.ts'
import type { StallStatus } from '../../herd/status.ts'

/** Indices of the shared Int32Array. */
export const SHARED = {
  /** Number of the latest ping the loop has answered. */
  answered: 0,
  /** Index, plus one, of the worker whose code the loop runs, as far as that is known; 0: no worker. */
  entered: 1,
  /** The thread's inspector sessions with the loop that are open or were closed a moment ago. */
  sessions: 2,
  /** Modules being loaded; the loop itself notes these in the breadcrumb. */
  loading: 3,
  /** 1 once the loop has closed the breadcrumb. */
  closed: 4,
  length: 5,
} as const

/** Node 20 aborts the process when a thread ends within this time of the end of its session: the loop waits for it. */
const SESSION_ENDS_MS = 300

/** Counts one of the thread's inspector sessions with the loop. Returns its release, which is idempotent. */
export function holdSession(shared: Int32Array): () => void {
  Atomics.add(shared, SHARED.sessions, 1)
  let open = true
  return () => {
    if (open) setTimeout(() => Atomics.sub(shared, SHARED.sessions, 1), SESSION_ENDS_MS)
    open = false
  }
}

/** Key of the global symbol under which the loop provides a function that returns the worker in whose context it runs. */
export const CONTEXT_KEY = 'byre.stall.context'

export interface WatchedWorker {
  readonly name: string
  readonly index: number
  readonly detect: boolean
  readonly afterMs: number
  /** The process may be killed when this worker never releases the loop: onStall 'eject'. */
  readonly eject: boolean
  /** A CPU profile of its stalls is kept: stall.profile. */
  readonly profile: boolean
}

/** The thread's view of the herd; sent again after each reload, and when the imports of the workers have been read. */
export interface HerdView {
  readonly workers: readonly WatchedWorker[]
  readonly owners: StackOwners
  /** Lowest level of byre's own lines that is logged, as in LEVEL_NUMBERS. */
  readonly levelNumber: number
}

export interface ThreadSettings {
  /** Thread id of the loop, which equals its process id. */
  readonly tid: number
  readonly shared: Int32Array
  /** The epolls of this process; one of them is the loop's. */
  readonly epolls: readonly string[]
  readonly format: LogFormat
  readonly colour: boolean
  readonly fd: number
  /** The breadcrumb file, where a long turn is noted. */
  readonly breadcrumb: { readonly path: string; readonly startedAt: number } | undefined
  /** Where a stall in progress is noted for the next start. */
  readonly noteFile: string
  /** Folder and file name label of the profiles. */
  readonly profiles: { readonly folder: string; readonly label: string }
  readonly herd: HerdView
  /** Links of the modules the loop has loaded. */
  readonly links: readonly Link[]
}

/** Loop to thread: the herd after a reload, or a link that was resolved. */
export type ToThread = HerdView | { readonly link: Link }

/** A stall, and the worker it is charged to, if any. */
export type Stall = StallStatus['last'] & { readonly worker?: string }

/** Thread to loop: the number of a ping; a stall that is over; or 'noted': the thread has written into the breadcrumb, which
 *  the loop restores when it reads this message. */
export type FromThread = number | 'noted' | { readonly stall: Stall }

/** Never throws: with a full disk the note is lost, the watch continues. */
export function writeStallNote(file: string, stall: Stall): void {
  const note: StallNote = { v: 1, pid: process.pid, ...stall }
  try {
    writeFileSync(file, `${JSON.stringify(note)}\n`, { mode: 0o600 })
  } catch {}
}

/** Never throws. */
export function removeStallNote(file: string): void {
  try {
    rmSync(file, { force: true })
  } catch {}
}
