// Stalls of the supervisor's loop, seen by a small second thread: this is the loop's half, which answers the thread's
// questions, notes whose code it goes into, and acts on a stall that is over. Loaded only when some worker wants it.

import { Worker } from 'node:worker_threads'
import { describeThrown } from '../../base/errors.ts'
import { watchLinks } from '../../base/module-path.ts'
import type { Link } from '../../base/module-path.ts'
import type { Scheduler } from '../../base/scheduler.ts'
import { ownFile } from '../../base/own-files.ts'
import { LEVEL_NUMBERS } from '../../log/levels.ts'
import { wantsColour } from '../../log/pretty.ts'
import { currentScope, eachTurn, runInScope, watchEntries } from '../../ownership/run-scope.ts'
import type { EntryWatch } from '../../ownership/run-scope.ts'
import type { Breadcrumb } from '../../herd/breadcrumb.ts'
import { holdMessages } from '../../herd/message-hold.ts'
import { stallNoteFile } from '../../herd/last-run.ts'
import type { HostBus } from '../../bus/bus.ts'
import type { SupervisorLog } from '../../log/herd-log.ts'
import type { Assignments } from '../../herd/assignments.ts'
import type { WorkerSet } from '../../herd/worker-set.ts'
import { openEpolls } from './loop-state.ts'
import { dropStallNote } from './note.ts'
import { CONTEXT_KEY, SHARED } from './protocol.ts'
import type { FromThread, HerdView, Stall, ThreadSettings, ToThread } from './protocol.ts'

export interface StallDeps {
  readonly log: SupervisorLog
  readonly bus: HostBus
  /** Where the note of a stall and profiles go, in files named after `label`. */
  readonly stateFolder: string
  readonly label: string
  /** byre's own code: frames below it are byre's. */
  readonly ownRoot: string
  readonly workers: Pick<WorkerSet, 'runners' | 'get'>
  readonly assignments: Assignments
  readonly scheduler: Scheduler
  /** Told of each entry as well, and whether the thread watches. */
  readonly entries: Breadcrumb | undefined
}

export interface StallWatch {
  /** The config was reloaded. */
  herdChanged(): void
  /** Resolves when the thread was told to end: at once, but for a stall that has just been looked into. */
  close(): Promise<void>
}

const ENTRY = ownFile('watch/stall/thread-entry.js')
const LOG_FD = 1
const CLOSE_STEP_MS = 20
const CLOSE_MAX_MS = 400
/** V8 takes no less; the thread needs 4 MB of heap. */
const LIMITS = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32, stackSizeMb: 1 }

/** `onStalled` is told of each stall that is over. */
export function watchStalls(deps: StallDeps, onStalled: (stall: Stall) => void): StallWatch {
  const { stateFolder, label, log } = deps
  const shared = new Int32Array(new SharedArrayBuffer(SHARED.length * Int32Array.BYTES_PER_ELEMENT))
  const noteFile = stallNoteFile(stateFolder, label)
  const links = watchLinks((link) => tellThread({ link }))
  const thread = startThread(deps, shared, noteFile, links)
  const tellThread = (message: ToThread): void => thread.postMessage(message)
  let closed = false
  const onMessage = (message: FromThread): void => {
    if (typeof message === 'number') {
      Atomics.store(shared, SHARED.answered, message)
    } else if (message === 'noted') {
      deps.entries?.restore()
    } else if (!closed) {
      onStalled(message.stall)
      settle(deps, message.stall)
    }
  }
  thread.on('message', onMessage)
  // Not with its first question: a loop that rests is never asked.
  thread.once('online', () => {
    if (!closed) deps.entries?.watched(true)
    log.root.debug({ event: 'stall-watch' }, 'the loop is watched for stalls')
  })
  thread.once('exit', () => deps.entries?.watched(false))
  thread.on('error', (error) =>
    log.root.error(
      { event: 'stall-watch-failed', ...describeThrown(error) },
      'stalls are not seen any more: the thread that watches the loop has failed',
    ),
  )
  thread.unref()
  deps.entries?.beforeClose(() => Atomics.store(shared, SHARED.closed, 1))
  const notes = noting(deps.entries, shared)
  watchEntries(notes)
  return {
    herdChanged: () => tellThread(viewOf(deps)),
    async close() {
      closed = true
      watchLinks(undefined)
      watchEntries(deps.entries)
      notes.end()
      deps.entries?.watched(false)
      dropStallNote(noteFile)
      for (
        let left = CLOSE_MAX_MS;
        Atomics.load(shared, SHARED.sessions) > 0 && left > 0;
        left -= CLOSE_STEP_MS
      )
        await new Promise<void>((resolve) => void deps.scheduler.after(CLOSE_STEP_MS, resolve))
      void thread.terminate()
    },
  }
}

function startThread(deps: StallDeps, shared: Int32Array, noteFile: string, links: readonly Link[]): Worker {
  const { entries, label, stateFolder, log } = deps
  const settings: ThreadSettings = {
    tid: process.pid,
    shared,
    epolls: openEpolls(),
    format: log.format,
    colour: wantsColour(process.env),
    fd: LOG_FD,
    breadcrumb: entries === undefined ? undefined : { path: entries.path, startedAt: entries.startedAt },
    noteFile,
    profiles: { folder: stateFolder, label: `${label}.stall` },
    herd: viewOf(deps),
    links,
  }
  // The paused loop is asked for the worker in whose context it runs.
  Object.defineProperty(globalThis, Symbol.for(CONTEXT_KEY), {
    value: () => currentScope()?.worker,
    configurable: true,
  })
  // Not what the process was started with: a preload would be loaded, and paid, once more.
  return new Worker(ENTRY, {
    name: 'byre-stalls',
    workerData: settings,
    env: {},
    execArgv: [],
    resourceLimits: LIMITS,
    trackUnmanagedFds: false,
  })
}

function viewOf({ log, ownRoot, workers }: StallDeps): HerdView {
  const { level } = log.root
  return {
    ownRoot,
    levelNumber: level === 'silent' ? LEVEL_NUMBERS.fatal + 1 : LEVEL_NUMBERS[level],
    workers: Array.from(workers.runners(), ({ name, index, spec }) => ({
      name,
      index,
      source: { path: spec.source.path },
      detect: spec.stall.detect,
      afterMs: spec.stall.afterMs,
      eject: spec.onStall === 'eject',
      profile: spec.stall.profile,
    })),
  }
}

/**
 * Keeps in shared memory whose code the loop is in: native code that holds it cannot be asked. Where Node can tell turns
 * without a price for each promise (24 and later) every turn is noted; else those that byre itself begins.
 */
function noting(entries: EntryWatch | undefined, shared: Int32Array): EntryWatch & { end(): void } {
  const note = (index: number): void => void (shared[SHARED.entered] = index + 1)
  const end = seesTurns() ? eachTurn((scope) => note(scope?.index ?? NO_WORKER)) : undefined
  let clearing = false
  const clear = (): void => {
    clearing = false
    note(NO_WORKER)
  }
  // After every microtask of the turn: they belong to it.
  const afterTurn = (): void => host.nextTick(clear)
  return {
    entered(scope) {
      note(scope.index)
      entries?.entered(scope)
      if (end !== undefined || clearing) return
      clearing = true
      // Outside the worker's context: where each turn is noted it would be one more entry into its code.
      runInScope(undefined, () => host.queueMicrotask(afterTurn))
    },
    loading(scope) {
      Atomics.add(shared, SHARED.loading, 1)
      const loading = entries?.loading(scope)
      return {
        done() {
          Atomics.sub(shared, SHARED.loading, 1)
          loading?.done()
        },
      }
    },
    end: () => end?.(),
  }
}

const NO_WORKER = -1

/** `trackPromises: false` of createHook is known to Node 24 and later. */
function seesTurns(): boolean {
  return Number(process.versions.node.split('.')[0]) >= 24
}

// Taken before a worker can replace them.
const host = { queueMicrotask: globalThis.queueMicrotask, nextTick: process.nextTick.bind(process) }

/** With onStall: 'eject', moves the worker of a stall that is over into a process of its own. */
function settle(deps: StallDeps, { worker, ...last }: Stall): void {
  const runner = worker === undefined ? undefined : deps.workers.get(worker)
  if (worker === undefined || runner === undefined) return
  // A guess may be wrong, and the worker it names would pay for another's stall.
  if (last.by === 'entered' || runner.spec.onStall !== 'eject' || !runner.spec.stall.detect) return
  if (deps.assignments.of(runner.spec) !== 'shared') return
  runInScope(undefined, () => {
    deps.assignments.move(runner.spec, 'process', 'eject', `it held the loop for ${last.blockedMs} ms`)
    // A run that has ended, or is to end, goes on as it would: its next one lives in a process.
    if (!runner.live || runner.state.kind === 'stopping') return
    holdMessages(runner, deps.bus, deps.scheduler)
    runner.stop('move', { kind: 'start', wake: { by: 'manual', at: Date.now() } })
  })
}
