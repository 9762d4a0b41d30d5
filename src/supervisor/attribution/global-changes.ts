// Globals that a worker replaces are replaced for every worker of the process. Nothing keeps it from that (an accessor on
// JSON or Date would cost each use of it); what was replaced is found by comparison, and named.

import { EventEmitter } from 'node:events'

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

/** Not there before a worker sets it; Node formats every stack with it. */
const FORMATTER = 'prepareStackTrace'

/** What is compared: values of globalThis, functions of the other hosts. Accessors of Node are not called. */
export interface GlobalChanges {
  /** Names of what was replaced or, in globalThis, added since the last call, as in `JSON.parse`; some 0.1 ms. */
  take(): string[]
}

/** Remembers what the globals are now. */
export function watchGlobals(): GlobalChanges {
  const watched = watchedHosts().map(({ host, prefix }) => {
    // Accessors too, without their value: Node puts a property in the place of one when it is first used.
    const known = new Map<string, unknown>(Object.getOwnPropertyNames(host).map((name) => [name, undefined]))
    eachValue(host, (name, value) => known.set(name, value))
    return { host, prefix, known }
  })
  return {
    take() {
      const replaced: string[] = []
      for (const { host, prefix, known } of watched)
        eachValue(host, (name, value) => {
          const before = known.get(name)
          if (before === value) return
          const added = !known.has(name) && (host === globalThis || (host === Error && name === FORMATTER))
          known.set(name, value)
          if (before !== undefined || added) replaced.push(`${prefix}${name}`)
        })
      return replaced
    },
  }
}

function eachValue(host: object, each: (name: string, value: unknown) => void): void {
  for (const name of Object.getOwnPropertyNames(host)) {
    const value: unknown = Object.getOwnPropertyDescriptor(host, name)?.value
    if (typeof value === 'function' || (host === globalThis && typeof value === 'object' && value !== null))
      each(name, value)
  }
}
