// A stall of the shared loop, investigated in the thread that watches it: the worker must be identified, nothing inside the
// process can end its code, and the loop that owns the log is blocked. A separate file because the thread loads it with the
// first stall.

import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { formatDurationMs } from '../../base/durations.ts'
import { BIGINT } from '../../base/stat.ts'
import { LEVEL_NUMBERS } from '../../log/levels.ts'
import { createLineLogger } from '../../log/line-logger.ts'
import type { Logger } from '../../log/logger.ts'
import type { LogFormat } from '../../log/output.ts'
import { culpritText, nameCulprit } from './culprit.ts'
import { investigate } from './investigate.ts'
import type { BlockedLoop, LoopInspector } from './investigate.ts'
import { pauseMainLoop } from './pause.ts'
import type { Pause } from './pause.ts'
import { holdSession, removeStallNote, writeStallNote } from './protocol.ts'
import type { HerdView, Stall } from './protocol.ts'

export interface SharedStall
  extends Pick<BlockedLoop, 'over' | 'blockedMs' | 'budget'>,
    Pick<LoopInspector, 'keepProfile'> {
  readonly log: Logger
  readonly herd: HerdView
  /** The worker the loop entered last. */
  readonly entered: () => string | undefined
  readonly noteFile: string
  /** Shared with the loop; see SHARED. */
  readonly shared: Int32Array
}

/** Resolves with the stall when the loop answers again; with undefined when no worker with `detect` blocked it. */
export async function investigateShared(stalled: SharedStall): Promise<Stall | undefined> {
  const { herd, entered, noteFile, shared, keepProfile, ...given } = stalled
  const { owners } = herd
  return investigate({
    ...given,
    inspector: {
      pause: countSessions(shared),
      ownRoot: owners.ownRoot,
      nameOf: (paused) => nameCulprit({ ...paused, entered: entered() }, owners),
      keepProfile,
    },
    workerOf: (name) => herd.workers.find((worker) => worker.name === name),
    guess() {
      const worker = entered()
      return worker === undefined ? undefined : { worker, by: 'entered' }
    },
    gone: () => false,
    name: 'the loop',
    onProgress: (stall) => writeStallNote(noteFile, stall),
    onOver: () => removeStallNote(noteFile),
    kill: (stall) => killProcess(stall, stalled.log),
  })
}

function countSessions(shared: Int32Array): Pause {
  return (request) => {
    const release = holdSession(shared)
    const pausing = pauseMainLoop(request)
    const cancel = (): void => {
      pausing.cancel()
      release()
    }
    return { ...pausing, cancel }
  }
}

/** The next start puts the worker into a separate process. */
function killProcess(stall: Stall, log: Logger): void {
  log.fatal(
    { event: 'stall-ended', ...stall },
    `${culpritText(stall)} has not released the loop for ${formatDurationMs(stall.blockedMs)}: killing this process, since the worker's config says onStall: 'eject'`,
  )
  process.kill(process.pid, 'SIGKILL')
}

export interface StallLogOptions {
  readonly format: LogFormat
  readonly colour: boolean
  readonly fd: number
  /** Lowest level that is written, as in LEVEL_NUMBERS. */
  readonly levelNumber: () => number
}

/** A line is dropped when its reader accepts nothing for this long. */
const WRITE_MAX_MS = 500

/** A logger that does not need the blocked loop: it writes each line whole to the log's own descriptor. */
export async function openStallLog({ format, colour, fd, levelNumber }: StallLogOptions): Promise<Logger> {
  const text = await formatter(format, colour)
  return createLineLogger({
    level: 'trace',
    now: Date.now,
    write: (line, level) => {
      if (level >= Math.min(levelNumber(), LEVEL_NUMBERS.fatal + 1)) writeLine(fd, text(line))
    },
  })
}

async function formatter(format: LogFormat, colour: boolean): Promise<(line: string) => string> {
  if (format === 'json') return (line) => line
  if (format === 'pretty') {
    const { formatPretty } = await import('../../log/pretty.ts')
    return (line) => formatPretty(line, { colour })
  }
  const { formatJournal } = await import('../../log/journal-text.ts')
  return (line) => formatJournal(line, false)
}

/** Never throws. Waits for a slow reader for at most 500 ms. */
function writeLine(fd: number, line: string): void {
  let reopened: number | undefined
  try {
    reopened = reopenPipe(fd)
    let rest: Buffer = Buffer.from(line)
    const endAt = performance.now() + WRITE_MAX_MS
    while (rest.length > 0 && performance.now() < endAt) {
      try {
        rest = rest.subarray(writeSync(reopened ?? fd, rest))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
      }
    }
  } catch {
    // the log has no reader any more
  } finally {
    if (reopened !== undefined) closeSync(reopened)
  }
}

/** A pipe inherited by the process may be in blocking mode; opened again it is not. Undefined for anything else, and when
 *  it cannot be opened: the caller writes to the descriptor itself. */
function reopenPipe(fd: number): number | undefined {
  const stat = fstatSync(fd, BIGINT)
  if (!stat.isFIFO()) return undefined
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return undefined
  }
}
