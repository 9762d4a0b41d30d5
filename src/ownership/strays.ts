// Attributes uncaught errors to a worker, first by stack, then by async context. An error of byre's own code is never charged
// to a worker; an error that neither stack nor context attributes is reported as such (law 2). Where the stack decides only
// with the imports of the workers, the first such error waits until they have been read.

import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import { asExitTrap } from './guard-exit.ts'
import { override } from './override.ts'
import { emitTo, hasListener } from './process-events.ts'
import { currentScope, enter, lastOrder, setStrayHandler } from './run-scope.ts'
import type { RunScope, StrayHandler } from './run-scope.ts'
import { hasFrameOf, needsImports, ownerOfStack } from './stack.ts'
import type { StackOwners } from './stack.ts'
import { Undecided } from './undecided.ts'

export interface StrayOptions {
  /** Called for each error: modules are loaded while the herd runs. */
  readonly owners: () => StackOwners
  /** The worker, where the process or thread hosts only one: errors without a context are charged to it. */
  readonly only?: string
  /** The current run of a worker, if it has one. */
  readonly runOf: (worker: string) => RunScope | undefined
  readonly onUnattributed: (error: unknown, via: string) => void
  /** An error of byre's own code: the herd drains and exits with 70. */
  readonly onInternal: (error: unknown, via: string) => void
  /** A listener of the worker on `process` handled an error, as on plain Node. */
  readonly onHandled: (error: unknown, via: string, worker: string | undefined) => void
  /** Where several workers are hosted. */
  readonly several?: {
    /** Resolves when the imports of the workers are known, or not to be waited for. Must not reject. */
    readonly readImports: () => Promise<void>
    /** An error of a worker's code, whose run has ended. */
    readonly onLate: (error: unknown, via: string, worker: string) => void
  }
}

export type Charge =
  | { readonly kind: 'worker'; readonly scope: RunScope; readonly by: 'context' | 'stack' }
  | { readonly kind: 'late'; readonly worker: string }
  | { readonly kind: 'byre' }
  | { readonly kind: 'unknown' }

/** An uncaught error, as it surfaced. */
interface Surfaced {
  readonly error: unknown
  readonly stack: string | undefined
  readonly via: string
  readonly context: RunScope | undefined
  readonly promise: Promise<unknown> | undefined
  /** See lastOrder(). */
  readonly order: number
}

/**
 * Determines the owner of an error. The stack overrides the context in one case: the error was thrown in code that only another
 * worker owns, called back from code in another worker's context (a callback of a shared client). A stack whose innermost frame
 * is byre's own code belongs to byre only outside every worker's context: inside one it is misuse of byre's API, an error from
 * another process, or a forgery, and none of these may end the herd.
 */
function charge({ stack, context, order }: Surfaced, options: StrayOptions): Charge {
  const owner = ownerOfStack(stack, options.owners())
  if (owner.kind === 'worker' && owner.worker !== context?.worker) {
    const scope = options.runOf(owner.worker)
    if (scope !== undefined && scope.order <= order) return { kind: 'worker', scope, by: 'stack' }
    // Called by byre itself outside every context, as a method of a prototype that the worker has replaced: byre is not intact.
    const calledByByre = context === undefined && hasFrameOf(stack, options.owners().ownRoot)
    if (options.several !== undefined && !calledByByre) return { kind: 'late', worker: owner.worker }
  }
  if (context !== undefined) {
    // What a module has set up is charged to the current run of its worker, which may have begun since.
    const later = context.part !== 'run' && (options.runOf(context.worker)?.order ?? 0) > order
    return later
      ? { kind: 'late', worker: context.worker }
      : { kind: 'worker', scope: context, by: 'context' }
  }
  if (owner.kind === 'byre') return { kind: 'byre' }
  const only = options.only === undefined ? undefined : options.runOf(options.only)
  return only === undefined ? { kind: 'unknown' } : { kind: 'worker', scope: only, by: 'context' }
}

/** Whether the imports of the workers may decide otherwise than what is known now. */
function isUndecided({ stack, context }: Surfaced, owners: StackOwners): boolean {
  // The only code in the loop, and an error during a load, whose outcome depends on it.
  // A program with handlers of its own expects the call at once, in Node's order.
  if (context !== undefined && (context.loading || isAlone(context, owners) || hasHandlers(context)))
    return false
  return needsImports(stack, owners)
}

function hasHandlers(scope: RunScope): boolean {
  return (
    scope.own.capture !== undefined ||
    hasListener(scope, 'uncaughtException') ||
    hasListener(scope, 'unhandledRejection')
  )
}

function isAlone({ entry }: RunScope, { loaded }: StackOwners): boolean {
  return loaded?.size === 1 && loaded.has(entry)
}

function stackOf(error: unknown): string | undefined {
  try {
    const stack = (error as { stack?: unknown } | null | undefined)?.stack
    return typeof stack === 'string' ? stack : undefined
  } catch {
    return undefined // a getter that throws
  }
}

/** Listens for uncaught exceptions and unhandled rejections of the process; returns its undo. */
export function catchStrays(options: StrayOptions): () => void {
  const { handle, end } = strayHandler(options)
  const onException = (error: unknown, origin: string): void => {
    if (origin !== 'unhandledRejection') handle(error, 'uncaughtException')
  }
  const onRejection = (reason: unknown, promise: Promise<unknown>): void => {
    const scope = currentScope()
    if (scope !== undefined) rejectedIn.set(promise, scope)
    handle(reason, 'unhandledRejection', scope, promise)
  }
  const onRejectionHandled = (promise: Promise<unknown>): void => {
    const scope = rejectedIn.get(promise)
    if (scope !== undefined) emitTo(scope, 'rejectionHandled', promise)
  }
  const onWarning = (warning: Error): void => {
    const scope = currentScope()
    if (scope !== undefined) emitTo(scope, 'warning', warning)
  }
  setStrayHandler(handle)
  process.on('uncaughtException', onException)
  process.on('unhandledRejection', onRejection)
  process.on('rejectionHandled', onRejectionHandled)
  process.on('warning', onWarning)
  return () => {
    setStrayHandler(undefined)
    process.removeListener('uncaughtException', onException)
    process.removeListener('unhandledRejection', onRejection)
    process.removeListener('rejectionHandled', onRejectionHandled)
    process.removeListener('warning', onWarning)
    end()
  }
}

/**
 * Like `catchStrays`, for a process or thread that hosts one worker: the handlers of the program come first. An error that a
 * domain, a capture callback or a listener of 'uncaughtException' or 'unhandledRejection' takes is handled, as on plain Node.
 */
export function catchUnhandled(options: StrayOptions): () => void {
  const { handle } = strayHandler(options)
  const onException = (error: unknown, origin: string): void => {
    const hasHandler = process
      .listeners('uncaughtException')
      .some((listener) => isOfProgram(listener, onException))
    if (hasHandler && asExitTrap(error) === undefined) options.onHandled(error, origin, options.only)
    else handle(error, origin)
  }
  const undoEmit = hideExitTraps()
  setStrayHandler(handle)
  process.on('uncaughtException', onException)
  return () => {
    undoEmit()
    setStrayHandler(undefined)
    process.removeListener('uncaughtException', onException)
  }
}

/** The error that the guarded process.exit throws is not an error of the program: its handlers must not receive it. */
function hideExitTraps(): () => void {
  const emit = process.emit.bind(process) as (...args: unknown[]) => boolean
  return override('emit', (...args: unknown[]) => {
    const trap = asExitTrap(args[1])
    if (trap === undefined) return emit(...args)
    trap.call.surfaced = true
    return true
  })
}

/** Logs an error that a handler of the program has handled; it is no failure. */
export function reportHandled(log: Pick<Logger, 'info'>, error: unknown, via: string): void {
  log.info(
    { event: 'error-handled', via, ...describeThrown(error) },
    'a handler of the program handled an error',
  )
}

/** Logs an error of a run that has ended. */
export function reportLate(log: Pick<Logger, 'warn'>, error: unknown, via: string): void {
  log.warn({ event: 'late-error', via, ...describeThrown(error) }, 'error of a run that has already ended')
}

/** node:domain adds an internal listener with the first listener of the program, and never removes it. */
function isOfProgram(listener: { readonly name: string }, own: unknown): boolean {
  return listener !== own && listener.name !== 'domainUncaughtExceptionClear'
}

function strayHandler(options: StrayOptions): { readonly handle: StrayHandler; readonly end: () => void } {
  const { several } = options
  const undecided = several === undefined ? undefined : new Undecided(several.readImports)
  // Reporting the error may itself fail; an error thrown from here would end the process without a log line.
  const guarded = (via: string, fn: () => void): void => {
    try {
      fn()
    } catch (ownError) {
      options.onInternal(ownError, via)
    }
  }
  const receive = (surfaced: Surfaced): void => {
    const { error, via } = surfaced
    const trap = asExitTrap(error)
    if (trap !== undefined)
      trap.call.surfaced = true // reported when it was called
    else if (undecided !== undefined && isUndecided(surfaced, options.owners()))
      undecided.add(() => guarded(via, () => report(surfaced, options)))
    else report(surfaced, options)
  }
  const handle: StrayHandler = (error, via, context = currentScope(), promise) => {
    guarded(via, () => receive({ error, stack: stackOf(error), via, context, promise, order: lastOrder() }))
  }
  return { handle, end: () => undecided?.flush() }
}

function report(surfaced: Surfaced, options: StrayOptions): void {
  const { error, via, promise } = surfaced
  const found = charge(surfaced, options)
  switch (found.kind) {
    case 'worker':
      if (!callHandlers(found.scope, error, via, promise, options)) found.scope.sink.stray(error, via)
      return
    case 'late':
      options.several?.onLate(error, via, found.worker)
      return
    case 'byre':
      options.onInternal(error, via)
      return
    case 'unknown':
      options.onUnattributed(error, via)
  }
}

/** The run in which a promise was rejected without a handler. */
const rejectedIn = new WeakMap<Promise<unknown>, RunScope>()
/** Runs whose handlers are being called: an error that such a handler throws is not handled again. */
const inHandler = new Set<RunScope>()

/** Calls the worker's own handlers in Node's order: its listeners, its capture callback. True if one handles the error. */
function callHandlers(
  scope: RunScope,
  error: unknown,
  via: string,
  promise: Promise<unknown> | undefined,
  { onHandled }: StrayOptions,
): boolean {
  if (inHandler.has(scope)) return false
  inHandler.add(scope)
  try {
    if (via !== 'unhandledRejection') return takesUncaught(scope, error, via, 'uncaughtException', onHandled)
    try {
      if (emitTo(scope, 'unhandledRejection', error, promise)) {
        onHandled(error, via, scope.worker)
        return true
      }
    } catch (thrown) {
      return (
        takesUncaught(scope, thrown, via, 'uncaughtException', onHandled) || chargeHandler(scope, thrown, via)
      )
    }
    return takesUncaught(scope, error, via, 'unhandledRejection', onHandled)
  } catch (thrown) {
    return chargeHandler(scope, thrown, 'uncaughtException')
  } finally {
    inHandler.delete(scope)
  }
}

/** The monitor, then the capture callback or the listeners of 'uncaughtException'. Throws what they throw. */
function takesUncaught(
  scope: RunScope,
  error: unknown,
  via: string,
  origin: string,
  onHandled: StrayOptions['onHandled'],
): boolean {
  const { capture } = scope.own
  const hasHandler = capture !== undefined || hasListener(scope, 'uncaughtException')
  if (!hasHandler && !hasListener(scope, 'uncaughtExceptionMonitor')) return false
  if (asExitTrap(error) !== undefined) return false
  const uncaught = origin === 'unhandledRejection' ? asUncaught(error) : error
  emitTo(scope, 'uncaughtExceptionMonitor', uncaught, origin)
  if (capture !== undefined) {
    enter(scope, () => capture(uncaught))
    return true
  }
  const handled = emitTo(scope, 'uncaughtException', uncaught, origin)
  if (handled) onHandled(error, via, scope.worker)
  return handled
}

/** A handler has thrown: that is the error of the worker now. Always true. */
function chargeHandler(scope: RunScope, thrown: unknown, event: string): boolean {
  const trap = asExitTrap(thrown)
  if (trap === undefined) scope.sink.stray(thrown, `listener of '${event}'`)
  else trap.call.surfaced = true // process.exit in a handler: reported when it was called
  return true
}

/** Never throws: a rejected Proxy may trap `instanceof`. */
function isError(value: unknown): boolean {
  try {
    return value instanceof Error
  } catch {
    return false
  }
}

/** Node passes a rejection that is no Error to 'uncaughtException' as one (lib/internal/process/promises.js). */
function asUncaught(reason: unknown): unknown {
  if (isError(reason)) return reason
  const { message } = describeThrown(reason)
  return Object.assign(
    new Error(
      'This error originated either by throwing inside of an async function without a catch block, or by rejecting a ' +
        `promise which was not handled with .catch(). The promise rejected with the reason "${message}".`,
    ),
    { name: 'UnhandledPromiseRejection', code: 'ERR_UNHANDLED_REJECTION' },
  )
}
