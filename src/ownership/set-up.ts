// Records what a worker's entry module sets up while it is evaluated, and closes it when the load fails: the next attempt
// evaluates the entry again and would set it up twice. What the imported modules set up stays: Node keeps them evaluated, for
// the next attempt and for other workers.

import { AsyncLocalStorage } from 'node:async_hooks'
import { modulePath, pathsAt } from '../base/module-path.ts'
import type { Maker, RunScope } from './run-scope.ts'

/** Names of what was closed; at most 20 of each kind. */
export interface ClosedSetUp {
  readonly timers: readonly string[]
  readonly listeners: readonly string[]
  readonly servers: readonly string[]
  /** Sockets, child processes, threads, watchers. */
  readonly handles: readonly string[]
}

/** Closes `made` if it is open, and returns its name. `late`: it was made after the load had failed. */
export type Close = (made: object, late: boolean) => Closed | undefined

export interface Closed {
  readonly kind: 'timers' | 'servers' | 'handles'
  readonly name: string
}

/** The list is searched for collected objects only from this length on. */
const MADE_MIN = 64
const LISTENERS_MAX = 1000
const NAMED_MAX = 20

/** The set-up of each module whose entry has set something up during its evaluation, until the load succeeds. */
const setUps = new WeakMap<Maker, SetUp>()
let inUse = 0
/**
 * The set-up whose code started the running code: a callback of a package has no frame of the entry module on its stack.
 * Enabled only while a set-up exists: on Node 20 and 22 each enabled storage slows down every promise.
 */
const startedBy = new AsyncLocalStorage<SetUp | undefined>()

/**
 * The set-up in which the running code must record what it makes, during the evaluation of the module of `scope` and after
 * the evaluation has failed. Undefined for an object that an imported module makes.
 */
export function setUpHere(scope: RunScope): SetUp | undefined {
  const store = startedBy.getStore()
  const inherited = store?.module === scope.module ? store : undefined
  const where = evaluatedHere(scope.entry)
  if (where === undefined) return inherited
  const here = where === 'entry' ? setUpOf(scope.module) : undefined
  // Everything that this turn starts, including timers and handles, carries it.
  if (here !== store) startedBy.enterWith(here)
  return here
}

function setUpOf(module: Maker): SetUp {
  const known = setUps.get(module)
  if (known !== undefined) return known
  const made = new SetUp(module)
  setUps.set(module, made)
  inUse++
  return made
}

/** Called when the load has succeeded: everything it set up lives as long as the module. */
export function keepSetUp(module: Maker): void {
  if (!setUps.delete(module)) return
  inUse--
  if (inUse === 0) startedBy.disable()
}

/** Called when the load has failed: closes everything it set up, and from now on everything its code still makes. Returns
 *  undefined if there was nothing. */
export function closeSetUp(module: Maker): ClosedSetUp | undefined {
  return setUps.get(module)?.close()
}

/** The objects and listeners that one entry module has set up. */
export class SetUp {
  readonly module: Maker
  /** Weak references: an open handle keeps its object alive. */
  #made: { readonly reference: WeakRef<object>; readonly close: Close }[] = []
  #checkAt = MADE_MIN
  #listeners: (() => string | undefined)[] = []
  #failed = false

  constructor(module: Maker) {
    this.module = module
  }

  add(made: object, close: Close): void {
    if (this.#failed) {
      process.nextTick(close, made, true) // once its constructor has finished
      return
    }
    if (this.#made.length >= this.#checkAt) {
      this.#made = this.#made.filter(({ reference }) => reference.deref() !== undefined)
      this.#checkAt = Math.max(MADE_MIN, 2 * this.#made.length)
    }
    this.#made.push({ reference: new WeakRef(made), close })
  }

  /** Records a listener that is about to be attached to an emitter of other code. `remove` removes it and returns its name if
   *  it was still attached. */
  addListener(remove: () => string | undefined): void {
    if (this.#failed) process.nextTick(remove)
    else if (this.#listeners.length < LISTENERS_MAX) this.#listeners.push(remove)
  }

  close(): ClosedSetUp | undefined {
    this.#failed = true
    const closed = { timers: [], listeners: [], servers: [], handles: [] } as Record<string, string[]>
    const note = (kind: string, name: string): void => {
      if ((closed[kind] as string[]).length < NAMED_MAX) (closed[kind] as string[]).push(name)
    }
    for (const { reference, close } of this.#made.splice(0)) {
      const made = reference.deref()
      const done = made === undefined ? undefined : close(made, false)
      if (done !== undefined) note(done.kind, done.name)
    }
    for (const remove of this.#listeners.splice(0)) {
      const name = remove()
      if (name !== undefined) note('listeners', name)
    }
    const nothing = Object.values(closed).every((names) => names.length === 0)
    return nothing ? undefined : (closed as unknown as ClosedSetUp)
  }
}

const FRAMES = 64
/** Frames of Node between the evaluation of a CommonJS module and its require(). */
const EVALUATION = /^node:internal\/modules\/(?:cjs|esm)\//

/**
 * 'entry': the module at `entry` is being evaluated, or one of its functions was called. 'other': another module is being
 * evaluated. Undefined when neither is on the stack. The frames are read from the innermost outwards, so a call from the entry
 * module into another evaluated module counts as 'entry' only when the entry's frame comes first. An imported ES module is
 * evaluated without its importers on the stack. About 20 us; called only while modules load.
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
