// The ways out of a process: process.exit and signals to oneself end the worker that uses them; process.abort cannot be
// held back and is only named.

import { constants } from 'node:os'
import { ByreError, describeThrown } from '../base/errors.ts'
import { exitCodeOfSignal } from '../base/exit-codes.ts'
import { override } from './override.ts'
import { currentScope } from './run-scope.ts'
import type { ExitCall, RunScope } from './run-scope.ts'

/** Thrown by the trapped process.exit; never meant to be caught. */
export class ExitTrap extends ByreError {
  readonly call: ExitCall

  constructor(call: ExitCall) {
    super('BYRE_PROCESS_EXIT', `${call.how} ends this worker only: it shares its process with others`)
    this.call = call
  }
}

/** `error` as an ExitTrap. Never throws: a Proxy that was thrown may trap `instanceof`. */
export function asExitTrap(error: unknown): ExitTrap | undefined {
  try {
    return error instanceof ExitTrap ? error : undefined
  } catch {
    return undefined
  }
}

export interface ExitGuardOptions {
  /** Whose code called, by its stack: the innermost frame that is the entry module of one worker. */
  readonly ownerByStack: (error: Error) => RunScope | undefined
  /** process.exit that no worker can be charged with. */
  readonly onUnattributedExit: (call: ExitCall) => void
  /** Last words before process.abort really ends the process. */
  readonly beforeAbort: (scope: RunScope | undefined) => void
}

/** Installs the traps; returns their undo. */
export function guardExit(options: ExitGuardOptions): () => void {
  const undos = [
    trapExit('exit', options),
    trapExit('reallyExit', options),
    trapKill(options),
    nameAbort(options),
  ]
  return () => {
    for (const undo of undos) undo()
  }
}

/** process.exit ends in `reallyExit`, which some libraries call themselves; byre's own exit, outside every worker, goes
 *  through it. */
function trapExit(name: 'exit' | 'reallyExit', options: ExitGuardOptions): () => void {
  const original = (process as unknown as Record<typeof name, (code: number) => never>)[name].bind(process)
  return override(name, (code?: number | string | null) => {
    const status = exitStatus(code)
    if (name === 'reallyExit' && currentScope() === undefined) return original(status)
    return leave(status, `process.${name}(${status})`, options)
  })
}

/** Throws what Node throws for a code that is no integer: its setter of process.exitCode checks. */
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
 * The signal is aborted first, then the call throws: a run that swallows the throw is stopped all the same. The stack goes
 * before the context, as with errors: a callback called by a sibling's client ends its own worker.
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
  const earlier = scope.exit
  scope.exit ??= call
  scope.sink.exitCalled(call, earlier)
}

let leavingHook = false

/**
 * Node calls process.exit itself when a callback of an async hook has thrown, and goes on when it returns; what is thrown
 * at it there leaves its stack of async ids corrupt. Whatever byre does about it calls the same hook again.
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

/** The trap's message is for the code it is thrown at; its frames, below those of the guard, say where. */
function framesOf(trap: ExitTrap): string | undefined {
  const frames = describeThrown(trap)
    .stack?.split('\n')
    .filter((text) => /^\s+at /.test(text))
  return frames?.slice(GUARD_FRAMES).join('\n')
}

const GUARD_FRAMES = 2

/** Sent to oneself these neither end nor stop a process that does not handle them (signal(7)). */
const HARMLESS = new Set(['SIGCHLD', 'SIGCONT', 'SIGURG', 'SIGWINCH', 'SIGUSR1'].map(signalNumber))
/** Real-time signals have no names in Node (signal(7), SIGRTMAX). */
const SIGNAL_MAX = 64

function signalNumber(name: string): number | undefined {
  return constants.signals[name as NodeJS.Signals]
}

/** `process.kill(process.pid, 'SIGTERM')` is how many programs end themselves. What Node refuses, it refuses here too. */
function trapKill(options: ExitGuardOptions): () => void {
  const original = process.kill.bind(process)
  return override('kill', (pid: number, signal: NodeJS.Signals | number = 'SIGTERM') => {
    const number = typeof signal === 'number' ? signal : signalNumber(signal || 'SIGTERM') // as Node reads it
    const oneself = [process.pid, 0, -process.pid].includes(Number(pid))
    const ends = number !== undefined && number > 0 && number <= SIGNAL_MAX && !HARMLESS.has(number)
    if (!oneself || !ends || currentScope() === undefined) return original(pid, signal)
    leave(exitCodeOfSignal(number), `process.kill(${pid}, ${String(signal)})`, options)
    return true
  })
}

/** Out of reach: it ends the process. The breadcrumb names its caller. */
function nameAbort(options: ExitGuardOptions): () => void {
  const original = process.abort.bind(process)
  return override('abort', () => {
    options.beforeAbort(options.ownerByStack(new Error('process.abort')) ?? currentScope())
    original()
  })
}
