// The ways out of a process: process.exit and signals to oneself end the worker that uses them; process.abort cannot be
// held back and is only named.

import { constants } from 'node:os'
import { ByreError, describeThrown } from '../../base/errors.ts'
import { exitCodeOfSignal } from '../../base/exit-codes.ts'
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

/** `reallyExit` is what process.exit ends in, and what some libraries call themselves: byre's own exit, which is nobody's
 *  code, goes through it. */
function trapExit(name: 'exit' | 'reallyExit', options: ExitGuardOptions): () => void {
  const original = (process as unknown as Record<typeof name, (code: number) => never>)[name].bind(process)
  return override(name, (code?: number | string) => {
    const status = Number(code ?? process.exitCode ?? 0) || 0
    if (name === 'reallyExit' && currentScope() === undefined) return original(status)
    return leave(status, `process.${name}(${status})`, options)
  })
}

/**
 * First abort the signal, then throw: a run that swallows the throw is stopped all the same. The stack goes before the
 * context, as with errors: a callback called by a sibling's client ends its own worker.
 */
function leave(code: number, how: string, options: ExitGuardOptions): never {
  const call: Mutable<ExitCall> = { code, how, surfaced: false }
  const trap = new ExitTrap(call)
  const stack = framesOf(trap)
  if (stack !== undefined) call.stack = stack
  const scope = options.ownerByStack(trap) ?? currentScope()
  if (scope === undefined) options.onUnattributedExit(call)
  else {
    const earlier = scope.exit
    scope.exit ??= call
    scope.sink.exitCalled(call, earlier)
  }
  throw trap
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** The trap's message is for whom it is thrown at; its frames, below the two of the guard, say where. */
function framesOf(trap: ExitTrap): string | undefined {
  const frames = describeThrown(trap)
    .stack?.split('\n')
    .filter((text) => /^\s+at /.test(text))
  return frames?.slice(GUARD_FRAMES).join('\n')
}

const GUARD_FRAMES = 2

/** Sent to oneself these end or stop a process that does not handle them (signal(7)). */
const HARMLESS = new Set(['SIGCHLD', 'SIGCONT', 'SIGURG', 'SIGWINCH', 'SIGUSR1'])

/** `process.kill(process.pid, 'SIGTERM')` is how many programs end themselves. */
function trapKill(options: ExitGuardOptions): () => void {
  const original = process.kill.bind(process)
  return override('kill', (pid: number, signal: NodeJS.Signals | number = 'SIGTERM') => {
    const number = typeof signal === 'number' ? signal : constants.signals[signal]
    const oneself = pid === process.pid || pid === 0 || pid === -process.pid
    if (
      !oneself ||
      currentScope() === undefined ||
      number === undefined ||
      number === 0 ||
      isHarmless(number)
    )
      return original(pid, signal)
    return leave(exitCodeOfSignal(number), `process.kill(${pid}, ${String(signal)})`, options)
  })
}

function isHarmless(number: number): boolean {
  for (const name of HARMLESS) if (constants.signals[name as NodeJS.Signals] === number) return true
  return false
}

/** Out of reach: it ends the process. The breadcrumb names who called it. */
function nameAbort(options: ExitGuardOptions): () => void {
  const original = process.abort.bind(process)
  return override('abort', () => {
    options.beforeAbort(options.ownerByStack(new Error('process.abort')) ?? currentScope())
    original()
  })
}
