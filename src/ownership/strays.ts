// Uncaught errors: charged to a worker by stack, then by async context; byre's own errors are never charged to a worker;
// an error that neither names is reported as such (law 2).

import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import { asExitTrap } from './guard-exit.ts'
import { override } from './override.ts'
import { currentScope, judgeStraysWith } from './run-scope.ts'
import type { RunScope, StrayJudge } from './run-scope.ts'
import { ownerOfStack } from './stack.ts'
import type { StackOwners } from './stack.ts'

export interface StrayOptions {
  /** Fresh at each call: modules load while the herd runs. */
  readonly owners: () => StackOwners
  /** The worker, where the process or thread hosts only one: what has no context is charged to it. */
  readonly only?: string
  /** The current run of a worker, if it has one. */
  readonly runOf: (worker: string) => RunScope | undefined
  readonly onUnattributed: (error: unknown, via: string) => void
  /** An error of byre's own code: drain, exit 70. */
  readonly onInternal: (error: unknown, via: string) => void
}

export type Charge =
  | { readonly kind: 'worker'; readonly scope: RunScope; readonly by: 'context' | 'stack' }
  | { readonly kind: 'byre' }
  | { readonly kind: 'nobody' }

/**
 * Who an error belongs to. The stack overrides the context in one case: the error was thrown in the entry module of
 * exactly one other worker, called back from code that runs in somebody else's context (a shared client's callback).
 * A stack that ends in byre's own code is byre's only outside every worker: inside one it is misuse of byre's API, an
 * error from another process, or a forgery, and none of them may take the herd down.
 */
function charge(error: unknown, context: RunScope | undefined, options: StrayOptions): Charge {
  const owner = ownerOfStack(stackOf(error), options.owners())
  if (owner.kind === 'worker' && owner.worker !== context?.worker) {
    const scope = options.runOf(owner.worker)
    if (scope !== undefined) return { kind: 'worker', scope, by: 'stack' }
  }
  if (context !== undefined) return { kind: 'worker', scope: context, by: 'context' }
  if (owner.kind === 'byre') return { kind: 'byre' }
  const only = options.only === undefined ? undefined : options.runOf(options.only)
  return only === undefined ? { kind: 'nobody' } : { kind: 'worker', scope: only, by: 'context' }
}

function stackOf(error: unknown): string | undefined {
  try {
    const stack = (error as { stack?: unknown } | null | undefined)?.stack
    return typeof stack === 'string' ? stack : undefined
  } catch {
    return undefined // a getter that throws names nobody
  }
}

/** Listens for uncaught exceptions and unhandled rejections of the process; returns its undo. */
export function catchStrays(options: StrayOptions): () => void {
  const judge = judgeWith(options)
  const onException = (error: unknown, origin: string): void => {
    if (origin !== 'unhandledRejection' && !capture(error, judge)) judge(error, 'uncaughtException')
    runDeferredTicks(judge)
  }
  const onRejection = (reason: unknown): void => judge(reason, 'unhandledRejection')
  judgeStraysWith(judge)
  process.on('uncaughtException', onException)
  process.on('unhandledRejection', onRejection)
  return () => {
    judgeStraysWith(undefined)
    process.removeListener('uncaughtException', onException)
    process.removeListener('unhandledRejection', onRejection)
  }
}

/**
 * As `catchStrays`, for a process or thread that hosts one worker: the handlers of the program go first. What a domain, a
 * capture callback or a listener of 'uncaughtException' or 'unhandledRejection' takes is handled, as on plain Node.
 */
export function catchUnhandled(
  options: StrayOptions,
  onHandled: (error: unknown, via: string) => void,
): () => void {
  const judge = judgeWith(options)
  const onException = (error: unknown, origin: string): void => {
    const own = process
      .listeners('uncaughtException')
      .some((listener) => isProgramsOwn(listener, onException))
    if (own && asExitTrap(error) === undefined) onHandled(error, origin)
    else judge(error, origin)
  }
  const undoEmit = hideExitTraps()
  judgeStraysWith(judge)
  process.on('uncaughtException', onException)
  return () => {
    undoEmit()
    judgeStraysWith(undefined)
    process.removeListener('uncaughtException', onException)
  }
}

/** What the trapped process.exit throws is no error of the program: its handlers do not see it. */
function hideExitTraps(): () => void {
  const emit = process.emit.bind(process) as (...args: unknown[]) => boolean
  return override('emit', (...args: unknown[]) => {
    const trap = asExitTrap(args[1])
    if (trap === undefined) return emit(...args)
    trap.call.surfaced = true
    return true
  })
}

/** An error that a handler of the program's own took: no failure, but worth a line. */
export function reportHandled(log: Pick<Logger, 'info'>, error: unknown, via: string): void {
  log.info({ event: 'error-handled', via, ...describeThrown(error) }, "handled by the program's own handler")
}

/** node:domain adds a listener of its own beside the first one that a program adds, and leaves it there. */
function isProgramsOwn(listener: { readonly name: string }, byres: unknown): boolean {
  return listener !== byres && listener.name !== 'domainUncaughtExceptionClear'
}

function judgeWith(options: StrayOptions): StrayJudge {
  const settle = (error: unknown, via: string, context = currentScope()): void => {
    const trap = asExitTrap(error)
    if (trap !== undefined) {
      trap.call.surfaced = true // reported when it was called
      return
    }
    const found = charge(error, context, options)
    switch (found.kind) {
      case 'worker':
        found.scope.sink.stray(error, via)
        return
      case 'byre':
        options.onInternal(error, via)
        return
      case 'nobody':
        options.onUnattributed(error, via)
    }
  }
  // What byre makes of the error may fail itself; thrown from here it would end the process without a log line.
  return (error, via, context) => {
    try {
      settle(error, via, context)
    } catch (ownError) {
      options.onInternal(ownError, via)
    }
  }
}

/** The worker's own capture callback takes the error, as Node's would before any listener; what it throws is a stray. */
function capture(error: unknown, judge: StrayJudge): boolean {
  const scope = currentScope()
  if (scope?.capture === undefined || asExitTrap(error) !== undefined) return false
  try {
    scope.capture(error)
  } catch (thrown) {
    judge(thrown, 'uncaughtException', scope)
  }
  return true
}

/** A tick may throw in turn; more than this in one go are left to Node. */
const DEFERRED_MAX = 1000

/**
 * After an uncaught error Node leaves the rest of its nextTick queue to the next turn, where immediates of siblings would
 * overtake their ticks. `_tickCallback` is internal; without it the order alone differs (tested on Node 20 to 26).
 */
function runDeferredTicks(judge: StrayJudge): void {
  const { _tickCallback: runTicks } = process as unknown as { readonly _tickCallback?: () => void }
  for (let i = 0; i < DEFERRED_MAX; i++) {
    try {
      runTicks?.()
      return
    } catch (error) {
      if (!capture(error, judge)) judge(error, 'uncaughtException')
    }
  }
}
