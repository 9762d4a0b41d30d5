// Watches the supervisor's loop for stalls from a second thread. This is the loop's side: it answers the thread's pings, notes
// in shared memory which worker's code it enters, and acts on a stall that is over. Loaded when a worker has stall.detect.

import { Worker } from 'node:worker_threads'
import { describeThrown } from '../../base/errors.ts'
import { watchLinks } from '../../base/module-path.ts'
import type { Link } from '../../base/module-path.ts'
import type { Scheduler } from '../../base/scheduler.ts'
import { ownFile } from '../../base/own-files.ts'
import { LEVEL_NUMBERS } from '../../log/levels.ts'
import { wantsColour } from '../../log/pretty.ts'
import { currentScope, eachTurn, runInScope, watchEntries } from '../../ownership/run-scope.ts'
import type { CodeOwners } from '../../ownership/code-owners.ts'
import type { EntryWatch } from '../../ownership/run-scope.ts'
import type { Breadcrumb } from '../../herd/breadcrumb.ts'
import { holdMessages } from '../../herd/message-hold.ts'
import { stallNoteFile } from '../../herd/last-run.ts'
import type { HostBus } from '../../bus/bus.ts'
import type { SupervisorLog } from '../../log/herd-log.ts'
import type { Assignments } from '../../herd/assignments.ts'
import type { WorkerSet } from '../../herd/worker-set.ts'
import { openEpolls } from './detector.ts'
import { CONTEXT_KEY, removeStallNote, SHARED } from './protocol.ts'
import type { FromThread, HerdView, Stall, ThreadSettings, ToThread } from './protocol.ts'

export interface StallDeps {
  readonly log: SupervisorLog
  readonly bus: HostBus
  /** Folder of the stall note and the profiles; their file names contain `label`. */
  readonly stateFolder: string
  readonly label: string
  readonly codeOwners: Pick<CodeOwners, 'get' | 'read'>
  readonly workers: Pick<WorkerSet, 'runners' | 'get'>
  readonly assignments: Assignments
  readonly scheduler: Scheduler
  /** Called on each entry into a worker's code, and when the watch begins and ends. */
  readonly entries: Breadcrumb | undefined
}

export interface StallWatch {
  /** Sends the herd to the thread again. */
  herdChanged(): void
  /** Resolves when the thread is being terminated: at once, or up to 400 ms later after an investigation. */
  close(): Promise<void>
}

const ENTRY = ownFile('watch/stall/thread-entry.js')
const LOG_FD = 1
const CLOSE_STEP_MS = 20
const CLOSE_MAX_MS = 400
/** V8 accepts no less; the thread needs 4 MB of heap. */
const LIMITS = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32, stackSizeMb: 1 }

/** `onStalled` is called with each stall that is over. */
export function watchStalls(deps: StallDeps, onStalled: (stall: Stall) => void): StallWatch {
  const { stateFolder, label, log } = deps
  const shared = new Int32Array(new SharedArrayBuffer(SHARED.length * Int32Array.BYTES_PER_ELEMENT))
  const noteFile = stallNoteFile(stateFolder, label)
  const links = watchLinks((link) => send({ link }))
  const thread = startThread(deps, shared, noteFile, links)
  const send = (message: ToThread): void => thread.postMessage(message)
  let closed = false
  const onMessage = (message: FromThread): void => {
    if (typeof message === 'number') {
      Atomics.store(shared, SHARED.answered, message)
    } else if (message === 'noted') {
      deps.entries?.restore()
    } else if (!closed) {
      onStalled(message.stall)
      eject(deps, message.stall)
    }
  }
  thread.on('message', onMessage)
  // Not with its first ping: an idle loop is never pinged.
  thread.once('online', () => {
    if (!closed) deps.entries?.watched(true)
    log.root.debug({ event: 'stall-watch' }, 'the loop is watched for stalls')
  })
  thread.once('exit', () => deps.entries?.watched(false))
  thread.on('error', (error) =>
    log.root.error(
      { event: 'stall-watch-failed', ...describeThrown(error) },
      'stalls are no longer detected: the thread that watches the loop has failed',
    ),
  )
  thread.unref()
  deps.entries?.beforeClose(() => Atomics.store(shared, SHARED.closed, 1))
  const notes = noteEntries(deps.entries, shared)
  watchEntries(notes)
  return {
    herdChanged: () => send(viewOf(deps)),
    async close() {
      closed = true
      watchLinks(undefined)
      watchEntries(deps.entries)
      notes.end()
      deps.entries?.watched(false)
      removeStallNote(noteFile)
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
  // The thread evaluates this in the paused loop.
  Object.defineProperty(globalThis, Symbol.for(CONTEXT_KEY), {
    value: () => currentScope()?.worker,
    configurable: true,
  })
  // Without the process's own flags and environment: a preload would be loaded a second time.
  return new Worker(ENTRY, {
    name: 'byre-stalls',
    workerData: settings,
    env: {},
    execArgv: [],
    resourceLimits: LIMITS,
    trackUnmanagedFds: false,
  })
}

function viewOf({ log, codeOwners, workers }: StallDeps): HerdView {
  const { level } = log.root
  return {
    // Not `loaded`: it changes with each load, of which the thread is not informed.
    owners: { ...codeOwners.get(), loaded: undefined },
    levelNumber: level === 'silent' ? LEVEL_NUMBERS.fatal + 1 : LEVEL_NUMBERS[level],
    workers: Array.from(workers.runners(), ({ name, index, spec }) => ({
      name,
      index,
      detect: spec.stall.detect,
      afterMs: spec.stall.afterMs,
      eject: spec.onStall === 'eject',
      profile: spec.stall.profile,
    })),
  }
}

/**
 * Keeps in shared memory which worker's code the loop runs, because native code cannot be interrupted to ask. Every turn is
 * noted where Node reports turns without a cost for each promise (24 and later); elsewhere only those that byre begins.
 */
function noteEntries(entries: EntryWatch | undefined, shared: Int32Array): EntryWatch & { end(): void } {
  const note = (index: number): void => void (shared[SHARED.entered] = index + 1)
  const end = reportsTurns() ? eachTurn((scope) => note(scope?.index ?? NO_WORKER)) : undefined
  let clearing = false
  const clear = (): void => {
    clearing = false
    note(NO_WORKER)
  }
  // After every microtask of the turn: these belong to it.
  const afterTurn = (): void => host.nextTick(clear)
  return {
    entered(scope) {
      note(scope.index)
      entries?.entered(scope)
      if (end !== undefined || clearing) return
      clearing = true
      // Outside the worker's context: with every turn noted it would count as another entry into its code.
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

/** createHook supports `trackPromises: false` from Node 24 on. */
function reportsTurns(): boolean {
  return Number(process.versions.node.split('.')[0]) >= 24
}

// Captured before a worker can replace them.
const host = { queueMicrotask: globalThis.queueMicrotask, nextTick: process.nextTick.bind(process) }

/** With onStall: 'eject', moves the worker that caused a stall into a separate process. */
function eject(deps: StallDeps, { worker, ...last }: Stall): void {
  const runner = worker === undefined ? undefined : deps.workers.get(worker)
  if (worker === undefined || runner === undefined) return
  // A guess may be wrong, and would move a worker that did not cause the stall.
  if (last.by === 'entered' || runner.spec.onStall !== 'eject' || !runner.spec.stall.detect) return
  if (deps.assignments.of(runner.spec) !== 'shared') return
  runInScope(undefined, () => {
    deps.assignments.move(runner.spec, 'process', 'eject', `it blocked the loop for ${last.blockedMs} ms`)
    // A run that has ended, or is stopping, is not restarted: the next run starts in a process.
    if (!runner.live || runner.state.kind === 'stopping') return
    holdMessages(runner, deps.bus, deps.scheduler)
    runner.stop('move', { kind: 'start', wake: { by: 'manual', at: Date.now() } })
  })
}
