// Installs everything that the supervisor replaces in its process, with one undo.

import { captureOutput } from './capture-output.ts'
import type { ExitGuardOptions } from './guard-exit.ts'
import { wrapRequire } from './evaluation.ts'
import { guardHooks } from './guard-hooks.ts'
import { guardProcess } from './guard-process.ts'
import { override } from './override.ts'
import { eachTurn, noteEntry, watchEntries } from './run-scope.ts'
import type { EntryWatch, RunScope } from './run-scope.ts'
import { ownerOfStack } from './stack.ts'
import type { StackOwners } from './stack.ts'
import { catchStrays, catchUnhandled } from './strays.ts'
import type { StrayOptions } from './strays.ts'
import { rememberListeners, wrapEvents } from './wrap-events.ts'
import { watchUndiciRequests } from './undici-requests.ts'
import { wrapTargets } from './wrap-targets.ts'
import { rememberTimers, wrapMicrotasks } from './wrap-timers.ts'

/** Records which worker's code runs, for the next start to read (herd/breadcrumb.ts). */
export interface BreadcrumbWriter extends EntryWatch {
  /** From now on, writes each entry into another worker's code. */
  writeEntries(): void
}

export interface ProcessWideOptions {
  readonly owners: () => StackOwners
  readonly runOf: (worker: string) => RunScope | undefined
  readonly breadcrumb: BreadcrumbWriter
  /** Where V8 writes its report when the heap is exhausted; read by the next start. */
  readonly reportFolder: string
  readonly reportName: string
  readonly onUnattributed: (error: unknown, via: string) => void
  readonly onInternal: (error: unknown, via: string) => void
  /** The worker that has the process to itself (`byre run`): its handlers receive its errors first, and nothing is wrapped. */
  readonly only: string | undefined
  /** A handler of a worker handled an error. */
  readonly onHandled: StrayOptions['onHandled']
  readonly several: NonNullable<StrayOptions['several']>
}

/** Installs attribution and guards; returns their undo. Call once per process. */
export function installProcessWide(options: ProcessWideOptions): () => void {
  const { only } = options
  const alone = only !== undefined
  const undos = [
    ...(alone ? [rememberListeners()] : [wrapEvents(), wrapMicrotasks(), guardHooks()]),
    rememberTimers(),
    wrapTargets(),
    watchUndiciRequests(),
    wrapRequire(),
    guardProcess(exitGuard(options), alone),
    captureOutput(),
    only === undefined
      ? catchStrays({ ...strays(options), several: options.several })
      : catchUnhandled({ ...strays(options), only }),
    recordTurnsWithAddons(options.breadcrumb),
    reportFatalErrors(options),
  ]
  watchEntries(options.breadcrumb)
  return () => {
    watchEntries(undefined)
    for (const undo of undos.reverse()) undo()
  }
}

function strays({ owners, runOf, onUnattributed, onInternal, onHandled }: ProcessWideOptions): StrayOptions {
  return { owners, runOf, onUnattributed, onInternal, onHandled }
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
  }
}

/** Native code of an addon can crash at any time: from the first addon on, every turn is recorded. */
function recordTurnsWithAddons(breadcrumb: BreadcrumbWriter): () => void {
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

/** Removes the frames of byre: the guard that created the error is innermost, but its caller is wanted. */
function withoutOwnFrames(stack: string | undefined, ownRoot: string): string | undefined {
  return stack
    ?.split('\n')
    .filter((line) => !line.includes(ownRoot))
    .join('\n')
}

/** V8 writes a report with the JavaScript stack when the heap is exhausted; no cost until then. */
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
