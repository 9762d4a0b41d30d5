// What the entry module of a worker sets up while it is evaluated: closed when its load fails, since the next attempt
// evaluates the entry again and would set it up twice. What the modules that it imports set up stays: Node keeps them
// evaluated, for the next attempt and for the other workers.

import { AsyncLocalStorage } from 'node:async_hooks'
import { evaluatedHere } from './evaluated-here.ts'
import type { Maker, RunScope } from './run-scope.ts'

/** What was closed, by name; at most 20 of each. */
export interface ClosedSetUp {
  readonly timers: readonly string[]
  readonly listeners: readonly string[]
  readonly servers: readonly string[]
  /** Sockets, child processes, threads, watchers. */
  readonly handles: readonly string[]
}

/** Closes what was made, if it is open, and names it. `late`: it was made when the load had failed already. */
export type Close = (made: object, late: boolean) => Closed | undefined

export interface Closed {
  readonly kind: 'timers' | 'servers' | 'handles'
  readonly name: string
}

/** Fewer are not searched for those that are gone. */
const MADE_MIN = 64
const LISTENERS_MAX = 1000
const NAMED_MAX = 20

/** Of each module whose entry has set something up while it was evaluated, until the load has succeeded. */
const setUps = new WeakMap<Maker, SetUp>()
let inUse = 0
/**
 * The set-up that the running code was begun by: a callback of a package has no frame of the entry module on its stack.
 * Enabled only while there is a set-up: on Node 20 and 22 each storage that is enabled costs every promise.
 */
const begunBy = new AsyncLocalStorage<SetUp | undefined>()

/**
 * Where the running code has to note what it is about to make, while the module of `scope` is evaluated and once that has
 * failed. Undefined for what a module makes that the entry imports.
 */
export function setUpHere(scope: RunScope): SetUp | undefined {
  const store = begunBy.getStore()
  const begun = store?.module === scope.module ? store : undefined
  const where = evaluatedHere(scope.entry)
  if (where === undefined) return begun
  const here = where === 'entry' ? setUpOf(scope.module) : undefined
  // What this turn begins, timers and handles too, carries it.
  if (here !== store) begunBy.enterWith(here)
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

/** The load has succeeded: what it set up lives as long as the module. */
export function keepSetUp(module: Maker): void {
  if (!setUps.delete(module)) return
  inUse--
  if (inUse === 0) begunBy.disable()
}

/** The load has failed: closes what it set up, and from now on what that still makes. Undefined: there was nothing. */
export function closeSetUp(module: Maker): ClosedSetUp | undefined {
  return setUps.get(module)?.close()
}

/** What one entry module has set up. */
export class SetUp {
  readonly module: Maker
  /** Weakly: what is open is kept alive by its handle. */
  #made: { readonly reference: WeakRef<object>; readonly close: Close }[] = []
  #checkAt = MADE_MIN
  #listeners: (() => string | undefined)[] = []
  #failed = false

  constructor(module: Maker) {
    this.module = module
  }

  add(made: object, close: Close): void {
    if (this.#failed) {
      process.nextTick(close, made, true) // once it is complete
      return
    }
    if (this.#made.length >= this.#checkAt) {
      this.#made = this.#made.filter(({ reference }) => reference.deref() !== undefined)
      this.#checkAt = Math.max(MADE_MIN, 2 * this.#made.length)
    }
    this.#made.push({ reference: new WeakRef(made), close })
  }

  /** A listener that is about to be attached to an emitter of other code; `remove` names it if it was attached still. */
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
