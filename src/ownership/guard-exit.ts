// Guards the ways to end the process: process.exit, process.abort and a signal to the own process end only the worker that uses
// them.

import { constants } from 'node:os'
import { ByreError, describeThrown } from '../base/errors.ts'
import { exitCodeOfSignal } from '../base/exit-codes.ts'
import { override } from './override.ts'
import { deliverSignal, hasListener } from './process-events.ts'
import { currentScope, runInScope } from './run-scope.ts'
import type { ExitCall, RunScope } from './run-scope.ts'

/** Thrown by the guarded process.exit; not meant to be caught. */
export class ExitTrap extends ByreError {
  readonly call: ExitCall

  constructor(call: ExitCall) {
    super('BYRE_PROCESS_EXIT', `${call.how} ends this worker only: it shares its process with others`)
    this.call = call
  }
}

/** `error` if it is an ExitTrap. Never throws: a thrown Proxy may trap `instanceof`. */
export function asExitTrap(error: unknown): ExitTrap | undefined {
  try {
    return error instanceof ExitTrap ? error : undefined
  } catch {
    return undefined
  }
}

export interface ExitGuardOptions {
  /** The run whose code called, by stack: the innermost frame that is the entry module of exactly one worker. */
  readonly ownerByStack: (error: Error) => RunScope | undefined
  /** A call of process.exit whose worker is unknown. */
  readonly onUnattributedExit: (call: ExitCall) => void
}

/** Installs the guards; returns their undo. */
export function guardExit(options: ExitGuardOptions): () => void {
  const undos = [
    trapExit('exit', options),
    trapExit('reallyExit', options),
    trapKill(options),
    trapAbort(options),
  ]
  return () => {
    for (const undo of undos) undo()
  }
}

/** process.exit calls `reallyExit`, which some libraries call directly. Outside every worker it really exits, for byre's own
 *  exit. */
function trapExit(name: 'exit' | 'reallyExit', options: ExitGuardOptions): () => void {
  const original = (process as unknown as Record<typeof name, (code: number) => never>)[name].bind(process)
  return override(name, (code?: number | string | null) => {
    const status = exitStatus(code)
    if (name === 'reallyExit' && currentScope() === undefined) return original(status)
    return leave(status, `process.${name}(${status})`, options)
  })
}

/** For a code that is no integer it throws Node's error, from the setter of process.exitCode. */
function exitStatus(code: number | string | null | undefined): number {
  if (code === undefined || code === null) return Number(process.exitCode ?? 0)
  const before = process.exitCode
  try {
    process.exitCode = code
  } finally {
    process.exitCode = before
  }
  return Number(code)
}

/**
 * Aborts the worker's signal first, then throws: a run that catches the error is stopped too. The stack has precedence over
 * the context, as with errors: a callback that another worker's client calls ends its own worker.
 */
function leave(code: number, how: string, options: ExitGuardOptions): void {
  const call: Mutable<ExitCall> = { code, how, surfaced: false }
  const trap = new ExitTrap(call)
  const stack = framesOf(trap)
  if (stack !== undefined) call.stack = stack
  const scope = options.ownerByStack(trap) ?? currentScope()
  if (stack !== undefined && CALLED_BY_HOOKS.test(stack)) {
    call.surfaced = true
    return leaveHook(() => report(call, scope, options))
  }
  report(call, scope, options)
  throw trap
}

function report(call: ExitCall, scope: RunScope | undefined, options: ExitGuardOptions): void {
  if (scope === undefined) return options.onUnattributedExit(call)
  scope.sink.exitCalled(call)
}

let leavingHook = false

/**
 * Node itself calls process.exit when a callback of an async hook has thrown, and continues when it returns; an error thrown
 * there corrupts Node's stack of async ids. What byre does in response may call the same hook again.
 */
function leaveHook(then: () => void): void {
  if (leavingHook) return
  leavingHook = true
  try {
    then()
  } finally {
    leavingHook = false
  }
}

const CALLED_BY_HOOKS = /^\s+at fatalError \(node:internal\/async_hooks/

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** The frames of the caller, without those of the guard. */
function framesOf(trap: ExitTrap): string | undefined {
  const frames = describeThrown(trap)
    .stack?.split('\n')
    .filter((text) => /^\s+at /.test(text))
  return frames?.slice(GUARD_FRAMES).join('\n')
}

const GUARD_FRAMES = 2

/** Signals that neither end nor stop a process that does not handle them (signal(7)). */
const HARMLESS = new Set(['SIGCHLD', 'SIGCONT', 'SIGURG', 'SIGWINCH', 'SIGUSR1'].map(signalNumber))
/** SIGRTMAX (signal(7)); real-time signals have no names in Node. */
const SIGNAL_MAX = 64

function signalNumber(name: string): number | undefined {
  return constants.signals[name as NodeJS.Signals]
}

function signalName(number: number | undefined): NodeJS.Signals | undefined {
  const found = Object.entries(constants.signals).find(([, each]) => each === number)
  return found?.[0] as NodeJS.Signals | undefined
}

/** Many programs end themselves with `process.kill(process.pid, 'SIGTERM')`. What Node refuses is refused here too. */
function trapKill(options: ExitGuardOptions): () => void {
  const original = process.kill.bind(process)
  return override('kill', (pid: number, signal: NodeJS.Signals | number = 'SIGTERM') => {
    const number = typeof signal === 'number' ? signal : signalNumber(signal || 'SIGTERM') // as Node reads it
    const ownProcess = [process.pid, 0, -process.pid].includes(Number(pid))
    const scope = currentScope()
    const name = signalName(number)
    if (ownProcess && scope !== undefined && name !== undefined && hasListener(scope, name)) {
      // Like Node in a later turn: process.exit in a listener throws, and must not throw into the sending code.
      runInScope(undefined, () => setImmediate(() => deliverSignal(scope, name)))
      return true
    }
    const ends = number !== undefined && number > 0 && number <= SIGNAL_MAX && !HARMLESS.has(number)
    if (!ownProcess || !ends || scope === undefined) return original(pid, signal)
    leave(exitCodeOfSignal(number), `process.kill(${pid}, ${String(signal)})`, options)
    return true
  })
}

/** Ends only the worker that calls it, like process.exit(134). In a thread Node refuses it. */
function trapAbort(options: ExitGuardOptions): () => void {
  if ((process.abort as { readonly disabled?: boolean }).disabled === true) return () => {}
  const code = exitCodeOfSignal(constants.signals.SIGABRT)
  return override('abort', () => leave(code, 'process.abort()', options))
}
