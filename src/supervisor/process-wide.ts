// Everything the supervisor installs on the process it owns, in one place, with one undo.

import { describeThrown } from '../base/errors.ts'
import { captureOutput } from './attribution/capture-output.ts'
import type { ExitGuardOptions } from './attribution/guard-exit.ts'
import { guardProcess } from './attribution/guard-process.ts'
import { eachTurn } from './attribution/note-entries.ts'
import { override } from './attribution/override.ts'
import { noteEntry, watchEntries } from './attribution/run-scope.ts'
import type { RunScope } from './attribution/run-scope.ts'
import { ownerOfStack } from './attribution/stack.ts'
import type { StackOwners } from './attribution/stack.ts'
import { catchStrays, catchUnhandled } from './attribution/strays.ts'
import type { StrayOptions } from './attribution/strays.ts'
import { rememberListeners, wrapEvents } from './attribution/wrap-events.ts'
import { rememberTimers, wrapMicrotasks } from './attribution/wrap-timers.ts'
import type { Breadcrumb } from './breadcrumb.ts'
import type { FattestDeps } from './memory/fattest.ts'
import type { MemoryWatch } from './memory/watch.ts'
import type { Stall } from './stall/protocol.ts'
import type { StallDeps, StallWatch } from './stall/watch.ts'
import type { StallStatus } from './status.ts'

export interface ProcessWideOptions {
  readonly owners: () => StackOwners
  readonly runOf: (worker: string) => RunScope | undefined
  readonly breadcrumb: Breadcrumb
  /** Where V8's report goes when the heap runs out; read by the next start. */
  readonly reportFolder: string
  readonly reportName: string
  readonly onUnattributed: (error: unknown, via: string) => void
  readonly onInternal: (error: unknown, via: string) => void
  /** The worker that has the process for itself (`byre run`): it handles its own errors first, and nothing is wrapped. */
  readonly only: string | undefined
  /** A handler of that worker took an error. */
  readonly onHandled: (error: unknown, via: string) => void
}

/** Installs attribution and guards; returns their undo. Once per process. */
export function takeProcess(options: ProcessWideOptions): () => void {
  const { only } = options
  const alone = only !== undefined
  const undos = [
    ...(alone ? [rememberListeners()] : [wrapEvents(), wrapMicrotasks()]),
    rememberTimers(),
    guardProcess(exitGuard(options), alone),
    captureOutput(),
    only === undefined
      ? catchStrays(strays(options))
      : catchUnhandled({ ...strays(options), only }, options.onHandled),
    noteAddons(options.breadcrumb),
    reportFatalErrors(options),
  ]
  watchEntries(options.breadcrumb)
  return () => {
    watchEntries(undefined)
    for (const undo of undos.reverse()) undo()
  }
}

function strays({ owners, runOf, onUnattributed, onInternal }: ProcessWideOptions): StrayOptions {
  return { owners, runOf, onUnattributed, onInternal }
}

function exitGuard(options: ProcessWideOptions): ExitGuardOptions {
  return {
    ownerByStack: (error) => {
      const owner = ownerOfStack(withoutOwnFrames(error.stack, options.owners().ownRoot), options.owners())
      return owner.kind === 'worker' ? options.runOf(owner.worker) : undefined
    },
    onUnattributedExit: ({ how, stack }) =>
      options.onUnattributed(
        Object.assign(new Error(how), stack === undefined ? {} : { stack: `Error: ${how}\n${stack}` }),
        'process.exit',
      ),
    beforeAbort: (scope) => options.breadcrumb.mark('abort', scope?.worker),
  }
}

/** Native code of an addon can crash at any moment: from the first one on every turn is noted. */
function noteAddons(breadcrumb: Breadcrumb): () => void {
  const original = process.dlopen.bind(process)
  let end: (() => void) | undefined
  const undo = override('dlopen', (...args: Parameters<typeof process.dlopen>) => {
    if (end === undefined) {
      breadcrumb.writeEntries()
      end = eachTurn((scope) => scope !== undefined && noteEntry(scope))
    }
    original(...args)
  })
  return () => {
    end?.()
    undo()
  }
}

/** The trap that built the error is the innermost frame; what matters is who called it. */
function withoutOwnFrames(stack: string | undefined, ownRoot: string): string | undefined {
  return stack
    ?.split('\n')
    .filter((line) => !line.includes(ownRoot))
    .join('\n')
}

/** V8 writes a report with the JavaScript stack when the heap runs out: it costs nothing until then. */
function reportFatalErrors(options: ProcessWideOptions): () => void {
  const { report } = process
  if (report === undefined) return () => {}
  const saved = {
    onFatalError: report.reportOnFatalError,
    directory: report.directory,
    filename: report.filename,
    compact: report.compact,
  }
  report.directory = options.reportFolder
  report.filename = options.reportName
  report.compact = true
  report.reportOnFatalError = true
  return () => {
    report.reportOnFatalError = saved.onFatalError
    report.directory = saved.directory
    report.filename = saved.filename
    report.compact = saved.compact
  }
}

/** The watches for stalls and for memory, whose code comes only when some worker or group wants it. */
export class LateWatches {
  readonly #stalls = new Map<string, StallStatus>()
  #watch: StallWatch | undefined
  #memory: MemoryWatch | undefined
  #deps: (StallDeps & FattestDeps) | undefined
  #begun = false
  #closed = false

  /** Starts it, unless no worker of the herd has `stall.detect`. */
  begin(deps: StallDeps & FattestDeps): void {
    this.#deps = deps
    this.#watchStalls(deps)
    this.#watchMemory(deps)
  }

  #watchMemory(deps: FattestDeps): void {
    const groups = Object.values(deps.herd().groups)
    // What one worker uses alone is no group's.
    if (deps.options.mode === 'run') return
    if (this.#memory === undefined && !groups.some((group) => Object.keys(group).length > 0)) return
    import('./memory/watch.ts').then(
      ({ watchMemory }) => {
        this.#memory?.close()
        if (!this.#closed) this.#memory = watchMemory(deps)
      },
      (error: unknown) =>
        deps.options.log.root.error(
          { event: 'memory-watch-failed', ...describeThrown(error) },
          'memory of the group is not watched: the code for it cannot be loaded',
        ),
    )
  }

  #watchStalls(deps: StallDeps): void {
    if (this.#begun || ![...deps.roster.runners()].some(({ spec }) => spec.stall.detect)) return
    this.#begun = true
    const { log } = deps.options
    // At a breakpoint the loop is blocked as well, and two debuggers would resume each other's pauses.
    if (process.execArgv.some((flag) => flag.startsWith('--inspect'))) {
      log.root.info({ event: 'stall-watch-off' }, 'stalls are not looked for: this process is being debugged')
      return
    }
    import('./stall/watch.ts').then(
      ({ watchStalls }) => {
        if (!this.#closed) this.#watch = watchStalls(deps, this.stalled)
      },
      (error: unknown) =>
        log.root.error(
          { event: 'stall-watch-failed', ...describeThrown(error) },
          'stalls are not looked for: the thread that watches the loop cannot be started',
        ),
    )
  }

  /** A stall is over: of the shared loop, or of a worker in a thread or process. */
  readonly stalled = ({ worker, ...last }: Stall): void => {
    if (worker === undefined || this.#deps?.roster.get(worker) === undefined) return
    this.#stalls.set(worker, { count: (this.#stalls.get(worker)?.count ?? 0) + 1, last })
  }

  herdChanged(): void {
    if (this.#deps !== undefined) this.begin(this.#deps)
    this.#watch?.herdChanged()
  }
  statusOf(worker: string): { readonly stalls?: StallStatus } {
    const stalls = this.#stalls.get(worker)
    return stalls === undefined ? {} : { stalls }
  }
  /** Bounded. */
  async close(): Promise<void> {
    this.#closed = true
    this.#memory?.close()
    await this.#watch?.close()
  }
}
