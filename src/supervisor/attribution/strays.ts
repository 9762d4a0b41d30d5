// Errors nobody caught: charged to a worker by async context, then by stack; byre's own errors are never charged to
// a worker; what belongs to nobody is reported as such (law 2).

import { asExitTrap } from './guard-exit.ts'
import { currentScope, judgeStraysWith } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'
import { ownerOfStack } from './stack.ts'
import type { StackOwners } from './stack.ts'

export interface StrayOptions {
  /** Fresh at each call: modules load while the herd runs. */
  readonly owners: () => StackOwners
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
export function charge(error: unknown, context: RunScope | undefined, options: StrayOptions): Charge {
  const owner = ownerOfStack(stackOf(error), options.owners())
  if (owner.kind === 'worker' && owner.worker !== context?.worker) {
    const scope = options.runOf(owner.worker)
    if (scope !== undefined) return { kind: 'worker', scope, by: 'stack' }
  }
  if (context !== undefined) return { kind: 'worker', scope: context, by: 'context' }
  return owner.kind === 'byre' ? { kind: 'byre' } : { kind: 'nobody' }
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
  const settle = (error: unknown, via: string, context = currentScope()): void => {
    const trap = asExitTrap(error)
    if (trap !== undefined) {
      trap.call.surfaced = true // told when it was called
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
  // What byre makes of the error may fail itself; thrown from here it would end the process without a word.
  const judge = (error: unknown, via: string, context?: RunScope): void => {
    try {
      settle(error, via, context)
    } catch (ownError) {
      options.onInternal(ownError, via)
    }
  }
  const onException = (error: unknown, origin: string): void => {
    if (origin !== 'unhandledRejection') judge(error, 'uncaughtException')
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
