// Globals that a worker replaces are replaced for every worker of the process. Nothing keeps it from that (an accessor on
// JSON or Date would cost each use of it); what was replaced is found by comparison, and named.

import { EventEmitter } from 'node:events'
import type { Logger } from '../log/logger.ts'
import { touch } from './override.ts'
import type { RunScope } from './run-scope.ts'

interface Watched {
  readonly host: object
  /** Before the name of a property, as it is written. */
  readonly prefix: string
}

const CLASSES = [
  'Object',
  'Function',
  'Array',
  'String',
  'Number',
  'RegExp',
  'Promise',
  'Map',
  'Set',
  'Date',
  'Error',
]

function watchedHosts(): readonly Watched[] {
  const globals = globalThis as unknown as Record<string, object & { prototype: object }>
  return [
    { host: globalThis, prefix: '' },
    ...['JSON', 'Math', 'Reflect', 'console'].map((name) => ({
      host: globals[name] as object,
      prefix: `${name}.`,
    })),
    ...CLASSES.flatMap((name) => [
      { host: globals[name] as object, prefix: `${name}.` },
      { host: globals[name]?.prototype as object, prefix: `${name}.prototype.` },
    ]),
    { host: EventEmitter.prototype, prefix: 'EventEmitter.prototype.' },
  ]
}

/**
 * Those of globalThis that are looked at from the start, besides what workers add to it. Not all of them: on Node 22 and later
 * to look at FormData, Response and their kin is to load them, 12 MB.
 */
const GLOBALS = `
  setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask structuredClone fetch
  console process Buffer URL URLSearchParams AbortController AbortSignal Event EventTarget JSON Math Reflect Intl Symbol
  Proxy Boolean BigInt WeakMap WeakSet WeakRef TypeError RangeError SyntaxError ${CLASSES.join(' ')}`
  .trim()
  .split(/\s+/)

/** byre itself replaces them, when it has to (wrap-events.ts). */
const OWN = ['EventEmitter.prototype.removeListener', 'EventEmitter.prototype.off']

/** Not there before a worker sets it; Node formats every stack with it. */
const FORMATTER = 'prepareStackTrace'

/** What is compared: values of globalThis, functions of the other hosts. Accessors of Node are not called. */
export interface GlobalChanges {
  /** Names of what was replaced or, in globalThis, added since the last call, as in `JSON.parse`; some 0.1 ms. */
  take(): string[]
}

/** Remembers what the globals are now. */
function watchGlobals(): GlobalChanges {
  const watched = watchedHosts().map(({ host, prefix }) => {
    const known = new Map<string, unknown>()
    const names = host === globalThis ? GLOBALS : Object.getOwnPropertyNames(host)
    eachValue(host, names, (name, value) => known.set(name, value))
    return { host, prefix, known }
  })
  const unwatched = new Set(Object.getOwnPropertyNames(globalThis).filter((name) => !GLOBALS.includes(name)))
  const namesOf = (host: object): string[] =>
    Object.getOwnPropertyNames(host).filter((name) => host !== globalThis || !unwatched.has(name))
  return {
    take() {
      const replaced: string[] = []
      for (const { host, prefix, known } of watched)
        eachValue(host, namesOf(host), (name, value) => {
          const before = known.get(name)
          if (before === value) return
          const added = !known.has(name) && (host === globalThis || (host === Error && name === FORMATTER))
          known.set(name, value)
          const written = `${prefix}${name}`
          if ((before !== undefined || added) && !OWN.includes(written)) replaced.push(written)
        })
      return replaced
    },
  }
}

function eachValue(
  host: object,
  names: readonly string[],
  each: (name: string, value: unknown) => void,
): void {
  for (const name of names) {
    const value: unknown = Object.getOwnPropertyDescriptor(host, name)?.value
    if (typeof value === 'function' || (host === globalThis && typeof value === 'object' && value !== null))
      each(name, value)
  }
}

/**
 * Reports what workers replace, compared around their code. A change that comes while several modules load is reported once,
 * with the names of all of them: the turns of their evaluation cannot be told apart.
 */
export class GlobalReports {
  readonly #log: Pick<Logger, 'warn'>
  readonly #loading = new Set<RunScope>()
  /** From the first load on: byre's own guards are installed by then. */
  #changes: GlobalChanges | undefined

  /** `log` gets what no worker is known to have done. */
  constructor(log: Pick<Logger, 'warn'>) {
    this.#log = log
  }

  loadBegins(scope: RunScope): void {
    this.codeBegins()
    this.#loading.add(scope)
  }

  loadEnds(scope: RunScope): void {
    const names = this.#take()
    if (this.#loading.size === 1) report(scope, names, 'while its module loaded')
    else this.#reportUnknown(names, { workers: Array.from(this.#loading, ({ worker }) => worker) })
    this.#loading.delete(scope)
  }

  /** Before code of one worker runs: what was replaced so far is not its doing. */
  codeBegins(): void {
    if (this.#loading.size > 0) return // the ends of the loads report it
    this.#reportUnknown(this.#take(), {})
  }

  codeRan(scope: RunScope, when: string): void {
    if (this.#loading.size === 0) report(scope, this.#take(), when)
  }

  #reportUnknown(names: readonly string[], { workers }: { readonly workers?: readonly string[] }): void {
    const which = workers === undefined ? 'which one is not known' : `one of ${workers.join(', ')}`
    for (const name of names)
      this.#log.warn(
        { event: 'global-replaced', global: name, ...(workers === undefined ? {} : { workers }) },
        `${name} was replaced, for every worker of this process, by code of a worker: ${which}`,
      )
  }

  #take(): string[] {
    if (this.#changes !== undefined) return this.#changes.take()
    this.#changes = watchGlobals()
    return []
  }
}

function report(scope: RunScope, names: readonly string[], when: string): void {
  for (const name of names)
    touch(scope, `global:${name}`, `${name} was replaced ${when}, for every worker of this process`)
}
