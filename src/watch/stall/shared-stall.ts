// A stall of the shared loop, from the thread that watches it: whose code it is must be found out, and nothing inside the
// process can end it. Loaded with the first stall.

import { formatDurationMs } from '../../base/durations.ts'
import type { Logger } from '../../log/logger.ts'
import { stackOwners } from '../../ownership/stack.ts'
import { investigate, whose } from './investigate.ts'
import type { Inspector, Investigation } from './investigate.ts'
import { nameCulprit } from './name-culprit.ts'
import { dropStallNote, writeStallNote } from './note.ts'
import { pauseMainLoop } from './pause.ts'
import type { Pause } from './pause.ts'
import { holdSession } from './protocol.ts'
import type { HerdView, Stall } from './protocol.ts'

export interface SharedStall
  extends Pick<Investigation, 'over' | 'blockedMs' | 'budget'>,
    Pick<Inspector, 'keep'> {
  readonly log: Logger
  readonly herd: HerdView
  /** The worker the loop went into last. */
  readonly entered: () => string | undefined
  readonly noteFile: string
  /** With the loop; see SHARED. */
  readonly shared: Int32Array
}

/** Resolves when the loop answers again, with what held it; undefined when that was nobody whose stalls are told. */
export async function investigateShared(stalled: SharedStall): Promise<Stall | undefined> {
  const { herd, entered, noteFile, shared, keep, ...given } = stalled
  const owners = stackOwners(herd.workers, herd.ownRoot)
  return investigate({
    ...given,
    inspector: {
      pause: counting(shared),
      ownRoot: herd.ownRoot,
      nameOf: (paused) => nameCulprit({ ...paused, entered: entered() }, owners),
      keep,
    },
    workerOf: (name) => herd.workers.find((worker) => worker.name === name),
    guess() {
      const worker = entered()
      return worker === undefined ? undefined : { worker, by: 'entered' }
    },
    gone: () => false,
    loop: 'the loop',
    note: (stall) => writeStallNote(noteFile, stall),
    dropNote: () => dropStallNote(noteFile),
    end: (stall) => endProcess(stall, stalled.log),
  })
}

function counting(shared: Int32Array): Pause {
  return (request) => {
    const release = holdSession(shared)
    const pausing = pauseMainLoop(request)
    const takeBack = (): void => {
      pausing.takeBack()
      release()
    }
    return { ...pausing, takeBack }
  }
}

/** Nothing inside the process can end the code: the next start puts its worker into a process of its own. */
function endProcess(stall: Stall, log: Logger): void {
  log.fatal(
    { event: 'stall-ended', ...stall },
    `${whose(stall)} does not give the loop back after ${formatDurationMs(stall.blockedMs)}: ending this process, since its config says onStall: 'eject'`,
  )
  process.kill(process.pid, 'SIGKILL')
}
