// The messages between the supervisor's loop and the thread that watches it, and the memory they share.

import type { Link } from '../../base/module-path.ts'
import type { LogFormat } from '../../log/output.ts'
import type { StallStatus } from '../../herd/status.ts'

/** Indices of the shared Int32Array. */
export const SHARED = {
  /** Number of the question answered last. */
  answered: 0,
  /** Index, plus one, of the worker whose code the loop is in as far as it is known; 0: of none. */
  entered: 1,
  /** Sessions of the thread with the loop's inspector that are open, or were just now. */
  sessions: 2,
  /** Modules that are being loaded: the loop itself notes that in the breadcrumb. */
  loading: 3,
  /** 1 once the loop has closed the breadcrumb. */
  closed: 4,
  length: 5,
} as const

/** Node 20 aborts the process when a thread ends within this of the end of its session: the loop waits for it. */
const SESSION_ENDS_MS = 300

/** Counts a session of the thread with the loop's inspector; returns its end, which is idempotent. */
export function holdSession(shared: Int32Array): () => void {
  Atomics.add(shared, SHARED.sessions, 1)
  let open = true
  return () => {
    if (open) setTimeout(() => Atomics.sub(shared, SHARED.sessions, 1), SESSION_ENDS_MS)
    open = false
  }
}

/** The loop's function, under this global symbol, that names the worker in whose context it runs. */
export const CONTEXT_KEY = 'byre.stall.context'

export interface WatchedWorker {
  readonly name: string
  readonly index: number
  readonly source: { readonly path: string }
  readonly detect: boolean
  readonly afterMs: number
  /** It may be ended with the process when it never gives the loop back: onStall 'eject'. */
  readonly eject: boolean
  /** A CPU profile of its stalls is kept: stall.profile. */
  readonly profile: boolean
}

/** The thread's view of the herd; sent again after each reload. */
export interface HerdView {
  readonly workers: readonly WatchedWorker[]
  readonly ownRoot: string
  /** Least level of byre's own lines, as in LEVEL_NUMBERS. */
  readonly levelNumber: number
}

export interface ThreadSettings {
  /** Thread id of the loop, which is its process id. */
  readonly tid: number
  readonly shared: Int32Array
  /** Epolls of this process; one of them is the loop's. */
  readonly epolls: readonly string[]
  readonly format: LogFormat
  readonly colour: boolean
  readonly fd: number
  /** The breadcrumb file, where a long turn is noted. */
  readonly breadcrumb: { readonly path: string; readonly startedAt: number } | undefined
  /** Where a stall in progress is noted for the next start. */
  readonly noteFile: string
  /** Where profiles go, and their name. */
  readonly profiles: { readonly folder: string; readonly label: string }
  readonly herd: HerdView
  /** Of the modules the loop has loaded. */
  readonly links: readonly Link[]
}

/** Loop to thread: the herd after a reload, or where a link has led. */
export type ToThread = HerdView | { readonly link: Link }

/** A stall, and the worker it is charged to, if any. */
export type Stall = StallStatus['last'] & { readonly worker?: string }

/** Thread to loop: a question's number, a stall that is over, or 'noted': it wrote into the breadcrumb, which is the loop's
 *  again once this is read. */
export type FromThread = number | 'noted' | { readonly stall: Stall }
