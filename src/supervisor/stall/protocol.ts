// What the supervisor's loop and the thread that watches it say to each other.

import type { Link } from '../../base/module-path.ts'
import type { LogFormat } from '../../log/output.ts'
import type { StallStatus } from '../status.ts'

/** Indices of the shared Int32Array. */
export const SHARED = {
  /** Number of the question answered last. */
  answered: 0,
  /** Index of the worker entered last, plus one; 0: none yet. */
  entered: 1,
  /** Sessions of the thread with the loop's inspector that are open, or were just now. */
  sessions: 2,
  length: 3,
} as const

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

/** Thread to loop: a question's number, or a stall that is over. */
export type FromThread = number | { readonly stall: Stall }
