// Guards the process that workers share: an operation of a worker on it is trapped, refused, limited to the worker, or
// reported. One entry per hazard.

import { resolve } from 'node:path'
import { guardExit } from './guard-exit.ts'
import type { ExitGuardOptions } from './guard-exit.ts'
import { guardListeners } from './guard-listeners.ts'
import { override, redefine, refusal, touch } from './override.ts'
import { ownEnvironment } from './own-environment.ts'
import { currentScope } from './run-scope.ts'
import type { OwnProcess, RunScope } from './run-scope.ts'

type AnyFunction = (...args: unknown[]) => unknown

/** Installs every guard; returns their undo. `alone`: one worker has the process to itself (`byre run`). */
export function guardProcess(options: ExitGuardOptions, alone: boolean): () => void {
  const undos = [
    guardExit(options),
    ...refuseAll(),
    ...(alone ? [] : [keepCaptureCallback()]),
    keepTitle(),
    keepArguments(),
    ownEnvironment(),
    guardListeners(alone),
  ]
  return () => {
    for (const undo of undos.reverse()) undo()
  }
}

interface Refused {
  readonly name: string
  readonly what: (argument: unknown) => string
  readonly remedy: string
  /** Calls that change nothing, or that Node itself refuses. */
  readonly harmless?: (argument: unknown) => boolean
}

const identity = (name: string): Refused => ({
  name,
  what: () => `change the identity of the process (${name})`,
  remedy: `Set it in the unit, or give the worker a separate unit.`,
})

/** Node refuses these in worker threads too: they change the process for every worker in it. Not process.exitCode: Node 20
 *  makes it non-configurable. */
const REFUSED: readonly Refused[] = [
  {
    name: 'chdir',
    what: (directory) => `change directory to '${String(directory)}'`,
    remedy: `Use absolute paths, or placement 'process' with 'cwd'.`,
    harmless: (directory) => typeof directory !== 'string' || resolve(directory) === process.cwd(),
  },
  {
    name: 'umask',
    what: (mask) => `set the umask to ${String(mask)}`,
    remedy: `Pass the mode when you create a file, or set UMask= in the unit.`,
    harmless: (mask) => mask === undefined || isCurrentUmask(mask),
  },
  ...['setuid', 'setgid', 'seteuid', 'setegid', 'setgroups', 'initgroups'].map(identity),
]

/** Returns true for an invalid mask too: Node refuses it with its own error. */
function isCurrentUmask(mask: unknown): boolean {
  const number = typeof mask === 'string' && /^[0-7]+$/.test(mask) ? Number.parseInt(mask, 8) : mask
  return typeof number !== 'number' || (number & 0o777) === process.umask()
}

function refuseAll(): (() => void)[] {
  const host = process as unknown as Record<string, AnyFunction | undefined>
  return REFUSED.flatMap(({ name, what, remedy, harmless }) => {
    const original = host[name]
    if (original === undefined) return []
    const guarded = (...args: unknown[]): unknown => {
      const scope = currentScope()
      if (scope === undefined || harmless?.(args[0]) === true) return original.apply(process, args)
      throw refusal(scope, name, what(args[0]), remedy)
    }
    return [override(name, guarded)]
  })
}

/** Each worker has its own capture callback, called for its own uncaught errors (strays.ts). node:domain is built on it and
 *  sets it in hooks and listeners in which Node expects no error, so the setter must not throw. */
function keepCaptureCallback(): () => void {
  const set = process.setUncaughtExceptionCaptureCallback.bind(process)
  const has = process.hasUncaughtExceptionCaptureCallback.bind(process)
  const undos = [
    override('setUncaughtExceptionCaptureCallback', (callback: unknown) => {
      const scope = currentScope()
      // Node's own error for what is no function.
      if (scope === undefined || (callback !== null && typeof callback !== 'function'))
        return set(callback as Parameters<typeof set>[0])
      if (callback !== null && scope.own.capture !== undefined) throw captureIsSet()
      scope.own.capture = callback === null ? undefined : (callback as NonNullable<OwnProcess['capture']>)
      return undefined
    }),
    override('hasUncaughtExceptionCaptureCallback', () => {
      const scope = currentScope()
      return scope === undefined ? has() : scope.own.capture !== undefined
    }),
  ]
  return () => {
    for (const undo of undos) undo()
  }
}

/** As Node words it (lib/internal/process/execution.js). */
function captureIsSet(): Error {
  const message =
    '`process.setupUncaughtExceptionCapture()` was called while a capture callback was already active'
  return Object.assign(new Error(message), { code: 'ERR_UNCAUGHT_EXCEPTION_CAPTURE_ALREADY_SET' })
}

/** A worker's process.argv is that of `node <its module>`. */
function keepArguments(): () => void {
  let own = process.argv
  return redefine('argv', {
    configurable: true,
    enumerable: true,
    get: () => {
      const scope = currentScope()
      if (scope === undefined || scope.entry === '') return own
      scope.own.argv ??= [process.execPath, scope.entry]
      return scope.own.argv
    },
    set: (argv: string[]) => {
      const scope = currentScope()
      if (scope === undefined) own = argv
      else scope.own.argv = argv
    },
  })
}

/** The title names the herd; a worker reads back its own value. */
function keepTitle(): () => void {
  const original = Object.getOwnPropertyDescriptor(process, 'title')
  if (original === undefined) return () => {}
  const titles = new WeakMap<RunScope, string>()
  return redefine('title', {
    configurable: true,
    enumerable: true,
    get: () => {
      const scope = currentScope()
      const own = scope === undefined ? undefined : titles.get(scope)
      return own ?? (original.get?.call(process) as string | undefined) ?? (original.value as unknown)
    },
    set: (title: string) => {
      const scope = currentScope()
      if (scope === undefined) {
        original.set?.call(process, title)
        return
      }
      titles.set(scope, String(title))
      touch(scope, 'title', `process.title = '${title}' applies to this worker only`)
    },
  })
}
