// Finds the globals that a worker has replaced, for every worker of the process, by comparison, and reports them. Replacement
// is not prevented: an accessor on JSON or Date would slow down each use.

import { EventEmitter } from 'node:events'
import type { Logger } from '../log/logger.ts'
import { touch } from './override.ts'
import type { RunScope } from './run-scope.ts'

interface Watched {
  readonly host: object
  /** Written before the name of a property. */
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
 * Properties of globalThis that are compared from the start; properties that workers add are compared too. Not all of them: on
 * Node 22 and later, reading FormData, Response and the like loads them, 12 MB.
 */
const GLOBALS = `
  setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask structuredClone fetch
  console process Buffer URL URLSearchParams AbortController AbortSignal Event EventTarget JSON Math Reflect Intl Symbol
  Proxy Boolean BigInt WeakMap WeakSet WeakRef TypeError RangeError SyntaxError ${CLASSES.join(' ')}`
  .trim()
  .split(/\s+/)

/** Replaced by byre itself when needed (wrap-events.ts). */
const OWN = ['EventEmitter.prototype.removeListener', 'EventEmitter.prototype.off']

/** Absent until a worker sets it; Node then formats every stack with it. */
const FORMATTER = 'prepareStackTrace'

/** Compares values of globalThis and functions of the other hosts. Does not call accessors of Node. */
export interface GlobalChanges {
  /** Names, such as `JSON.parse`, of what was replaced or, in globalThis, added since the last call; about 0.1 ms. */
  take(): string[]
}

/** Records the current globals. */
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
 * Reports the globals that workers replace, by comparison before and after their code. A change while several modules load is
 * reported once, with the names of all these workers: the turns of their evaluation cannot be distinguished.
 */
export class GlobalReports {
  readonly #log: Pick<Logger, 'warn'>
  readonly #loading = new Set<RunScope>()
  /** Set at the first load: byre's own guards are installed by then. */
  #changes: GlobalChanges | undefined

  /** `log` receives the changes whose worker is unknown. */
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

  /** Before code of one worker runs: reports earlier changes, which are not its own. */
  codeBegins(): void {
    if (this.#loading.size > 0) return // reported when the loads end
    this.#reportUnknown(this.#take(), {})
  }

  codeRan(scope: RunScope, when: string): void {
    if (this.#loading.size === 0) report(scope, this.#take(), when)
  }

  #reportUnknown(names: readonly string[], { workers }: { readonly workers?: readonly string[] }): void {
    const which = workers === undefined ? 'its name is not known' : `one of ${workers.join(', ')}`
    for (const { global, text } of linesOf(names))
      this.#log.warn(
        { event: 'global-replaced', global, ...(workers === undefined ? {} : { workers }) },
        `${text} replaced, for every worker of this process, by code of a worker (${which})`,
      )
  }

  #take(): string[] {
    if (this.#changes !== undefined) return this.#changes.take()
    this.#changes = watchGlobals()
    return []
  }
}

function report(scope: RunScope, names: readonly string[], when: string): void {
  for (const { global, text } of linesOf(names))
    touch(scope, `global:${global}`, `${text} replaced ${when}, for every worker of this process`)
}

const LINES_MAX = 5

/** One line for each global; one for all where there are many, as for the thirty helpers that tslib defines. */
function linesOf(names: readonly string[]): { readonly global: string; readonly text: string }[] {
  if (names.length <= LINES_MAX) return names.map((name) => ({ global: name, text: `${name} was` }))
  const some = `${names.slice(0, LINES_MAX).join(', ')} and ${names.length - LINES_MAX} more`
  return [{ global: some, text: `${some} were` }]
}
