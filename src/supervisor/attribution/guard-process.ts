// What a worker does to the process it shares: trapped, refused, kept to the worker, or named. One entry per hazard.

import { guardExit } from './guard-exit.ts'
import type { ExitGuardOptions } from './guard-exit.ts'
import { guardListeners } from './guard-listeners.ts'
import { override, redefine, refusal, touch } from './override.ts'
import { ownEnvironment } from './own-environment.ts'
import { currentScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

type AnyFunction = (...args: unknown[]) => unknown

/** Installs every guard; returns their undo. */
export function guardProcess(options: ExitGuardOptions): () => void {
  const undos = [guardExit(options), ...refuseAll(), keepTitle(), ownEnvironment(), guardListeners()]
  return () => {
    for (const undo of undos.reverse()) undo()
  }
}

interface Refused {
  readonly name: string
  readonly what: (argument: unknown) => string
  readonly remedy: string
  /** With no argument it only reads. */
  readonly reads?: true
}

const OWN_PROCESS = `Use placement 'process'.`
const identity = (name: string): Refused => ({
  name,
  what: () => `change the identity of the process (${name})`,
  remedy: `Set it in the unit, or give the worker a unit of its own.`,
})

/** Refused by worker threads too: they change the process under everybody. Not process.exitCode: Node 20 pins it. */
const REFUSED: readonly Refused[] = [
  {
    name: 'chdir',
    what: (directory) => `change directory to '${String(directory)}'`,
    remedy: `Use absolute paths, or placement 'process' with 'cwd'.`,
  },
  {
    name: 'umask',
    what: (mask) => `set the umask to ${String(mask)}`,
    remedy: `Give files their mode when they are made, or set UMask= in the unit.`,
    reads: true,
  },
  {
    name: 'setUncaughtExceptionCaptureCallback',
    what: () => `capture the uncaught exceptions of the process`,
    remedy: OWN_PROCESS,
  },
  ...['setuid', 'setgid', 'seteuid', 'setegid', 'setgroups', 'initgroups'].map(identity),
]

function refuseAll(): (() => void)[] {
  const host = process as unknown as Record<string, AnyFunction | undefined>
  return REFUSED.flatMap(({ name, what, remedy, reads }) => {
    const original = host[name]
    if (original === undefined) return []
    const guarded = (...args: unknown[]): unknown => {
      const scope = currentScope()
      if (scope === undefined || (reads === true && args[0] === undefined))
        return original.apply(process, args)
      throw refusal(scope, name, what(args[0]), remedy)
    }
    return [override(name, guarded)]
  })
}

/** The title names the herd; a worker keeps its own idea of it. */
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
      touch(scope, 'title', `process.title = '${title}' kept to the worker`)
    },
  })
}
