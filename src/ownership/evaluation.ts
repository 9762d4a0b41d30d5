// Whose what is made while a module is evaluated: an imported module is evaluated once for all workers that import it, so what it
// sets up belongs to no worker. Only what the entry module of a worker sets up belongs to that worker.

import Module from 'node:module'
import { modulePath, pathsAt } from '../base/module-path.ts'
import { createRunScope, currentScope, enterScope, runInScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

/**
 * The scope that owns what the running code of `scope` makes; undefined for what an imported module makes while it is
 * evaluated. While the worker's module is loaded this takes about 20 us, otherwise nothing.
 */
export function ownerHere(scope: RunScope): RunScope | undefined {
  if (!scope.loading) return scope.part === 'load' ? undefined : scope
  const load = scope.load ?? scope
  const where = evaluatedHere(scope.entry)
  // A callback of a package has no frame of the entry module on its stack; its context says which of the two started it.
  const here = where === undefined ? scope : where === 'entry' ? moduleScope(load) : load
  if (here !== scope) enterScope(here)
  return here.part === 'load' ? undefined : here
}

/** Like `ownerHere`, but also finds an ES module that a run imports, in about 5 us: for what is seldom made. */
export function ownerOfRare(scope: RunScope): RunScope | undefined {
  if (scope.loading || scope.part === 'load' || scope.load === undefined) return ownerHere(scope)
  if (evaluatedHere(scope.entry) !== 'other') return scope
  enterScope(evaluationIn(scope))
  return undefined
}

/** The scope in which `scope` evaluates a module that it imports: what that sets up stays, but it sees the environment and the
 *  arguments of the run. */
function evaluationIn(scope: RunScope): RunScope {
  if (scope.part === 'load' || scope.load === undefined) return scope
  if (scope.part === 'module') return scope.load
  if (scope.evaluation === undefined) {
    const { worker, index, run, entry, own, load } = scope
    scope.evaluation = createRunScope(worker, index, run, load.sink, entry, 'load', own)
    scope.evaluation.load = load
    scope.evaluation.loading = false
  }
  return scope.evaluation
}

/** The scope of what the entry module sets up. */
export function moduleScope(load: RunScope): RunScope {
  if (load.module === undefined) {
    const { worker, index, run, sink, entry, own } = load
    const made = createRunScope(worker, index, run, sink, entry, 'module', own)
    made.load = load
    made.loading = load.loading
    made.ended = load.ended
    load.module = made
  }
  return load.module
}

/** A CommonJS module that a run requires is evaluated in a scope of its own. Returns the undo. */
export function wrapRequire(): () => void {
  const prototype = (Module as unknown as { prototype: { load: (this: object, file: string) => unknown } })
    .prototype
  const original = prototype.load
  const replacement = function (this: object, file: string): unknown {
    const scope = currentScope()
    if (scope === undefined) return original.call(this, file)
    return runInScope(evaluationIn(scope), () => original.call(this, file))
  }
  prototype.load = replacement
  return () => {
    if (prototype.load === replacement) prototype.load = original
  }
}

/** Whether code of undici, that of Node or the package, is on the stack. Its pools and its clock serve all workers. */
export function isUndiciOnStack(): boolean {
  return filesOnStack().some((file) => /[\\/]undici[\\/]/.test(file))
}

const FRAMES = 64
/** Frames of Node between the evaluation of a CommonJS module and its require(). */
const EVALUATION = /^node:internal\/modules\/(?:cjs|esm)\//

/**
 * 'entry': the module at `entry` is being evaluated, or one of its functions was called. 'other': another module is being
 * evaluated. Undefined when neither is on the stack. The frames are read from the innermost outwards, so a call from the entry
 * module into another evaluated module counts as 'entry' only when the entry's frame comes first. An imported ES module is
 * evaluated without its importers on the stack.
 */
function evaluatedHere(entry: string): 'entry' | 'other' | undefined {
  for (const file of filesOnStack()) {
    if (EVALUATION.test(file)) return 'other'
    const path = modulePath(file)
    if (path !== undefined && pathsAt(path).includes(entry)) return 'entry'
  }
  return undefined
}

/** File names and URLs of the stack, innermost first. */
function filesOnStack(): string[] {
  const { stackTraceLimit } = Error
  const formatter = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace')
  try {
    Error.stackTraceLimit = FRAMES
    Error.prepareStackTrace = (_, sites) => sites
    const { stack } = new Error('where') as unknown as { stack: NodeJS.CallSite[] }
    return stack.map((site) => site.getFileName() ?? '')
  } finally {
    if (formatter === undefined) Reflect.deleteProperty(Error, 'prepareStackTrace')
    else Object.defineProperty(Error, 'prepareStackTrace', formatter)
    Error.stackTraceLimit = stackTraceLimit
  }
}
