// What a worker opens ends with its run: its sockets, servers, watchers, threads and ports, also those that a package opens for
// it. A handle that another worker has used since is shared and stays.

import { describeThrown } from '../base/errors.ts'
import { closeHandle } from './close-handle.ts'
import { isUndiciOnStack } from './evaluation.ts'
import { currentScope, runInScope, SHARED } from './run-scope.ts'
import type { Close, Closed, Opened, RunScope } from './run-scope.ts'
import { makerOf, stamp } from './stamp.ts'
import { touch } from './override.ts'

/** The list is searched for collected handles only from this length on. */
const LIST_MIN = 64
const NAMED_MAX = 20

/** Methods that identify a class of which an open instance holds a resource of the process. */
const HOLDERS: readonly (readonly string[])[] = [
  ['getConnections'], // net.Server
  ['setMulticastTTL'], // dgram.Socket
  ['terminate', 'postMessage'], // Worker
  ['spawn', 'kill'], // ChildProcess
  ['close', 'ref', 'start'], // FSWatcher
  ['addRequest', 'reuseSocket'], // http.Agent
  ['getWatched', 'unwatch'], // chokidar
]

/** The same, of which a program opens many. */
const FREQUENT_HOLDERS: typeof HOLDERS = [
  ['destroySoon', 'connect'], // net.Socket
  ['onSocket', 'abort'], // ClientRequest
]

function hasOne(prototype: object, holders: typeof HOLDERS): boolean {
  const methods = prototype as Readonly<Record<string, unknown>>
  return holders.some((names) => names.every((name) => typeof methods[name] === 'function'))
}

/** How often a class is checked for an instance that a module makes while it is evaluated. Such an instance is the only one, or
 *  one of few. */
const RARE_MAX = 16

interface Kind {
  readonly holds: boolean
  readonly frequent: boolean
  made: number
}
const kinds = new WeakMap<object, Kind>()
let lastPrototype: object | undefined
let lastKind: Kind | undefined

function kindOf(prototype: object): Kind {
  if (prototype === lastPrototype) return lastKind as Kind
  let kind = kinds.get(prototype)
  if (kind === undefined) {
    const few = hasOne(prototype, HOLDERS)
    kind = { holds: few || hasOne(prototype, FREQUENT_HOLDERS), frequent: !few, made: 0 }
    kinds.set(prototype, kind)
  }
  lastPrototype = prototype
  lastKind = kind
  return kind
}

/** Whether `emitter`, which is being constructed, may hold a resource, and whether few of its class have been made. */
export function classify(emitter: object): { readonly holds: boolean; readonly rare: boolean } {
  const kind = kindOf(Object.getPrototypeOf(emitter) as object)
  return { holds: kind.holds, rare: !kind.frequent || kind.made++ < RARE_MAX }
}

/** Records that `owner` has opened `handle`. After the end of its run it is closed at once. */
export function noteHandle(owner: RunScope, handle: object, close: Close = closeHandle): void {
  if (owner.ended) {
    // A pool opens a connection for the next request, of whichever worker, in the context in which the last one was closed.
    if (isUndiciOnStack()) return
    // Once its constructor has finished.
    process.nextTick(() => {
      const closed = closeSafely(handle, close, true)
      if (closed !== undefined) sweep(owner, closed.name)
    })
    return
  }
  const opened: Opened = (owner.handles ??= { list: [], checkAt: LIST_MIN })
  if (opened.list.length >= opened.checkAt) {
    opened.list = opened.list.filter(({ reference }) => reference.deref() !== undefined)
    opened.checkAt = Math.max(LIST_MIN, 2 * opened.list.length)
  }
  opened.list.push({ reference: new WeakRef(handle), close })
}

/** Reports, once per run, that code of an ended run has opened something. */
export function sweep(owner: RunScope, name: string): void {
  touch(owner, 'after-end', `${name} was opened by code of a run that has ended; byre closed it`)
}

export interface ClosedHandles {
  readonly servers: string[]
  readonly handles: string[]
  /** There were child processes. Their names are reported with those of their descendants, once these are known. */
  children: boolean
}

/**
 * Closes the open handles of `scope`, and adds the names of the first 20 of each kind to `closed`: with the first step the servers,
 * because the next run needs their ports, then one with each step.
 */
export function* closeHandles(scope: RunScope, closed: ClosedHandles): Generator<void> {
  const entries = scope.handles?.list ?? []
  scope.handles = undefined
  const end = ({ reference, close }: (typeof entries)[number]): void => {
    const handle = reference.deref()
    if (handle === undefined || makerOf(handle) === SHARED) return
    const done = runInScope(scope, () => closeSafely(handle, close))
    if (done === undefined) return
    if (done.kind === 'children') closed.children = true
    const list = done.kind === 'servers' ? closed.servers : closed.handles
    if (done.kind !== 'children' && list.length < NAMED_MAX) list.push(done.name)
  }
  const others: typeof entries = []
  for (const entry of entries) {
    const handle = entry.reference.deref() as { readonly listening?: unknown } | undefined
    if (handle?.listening === true) end(entry)
    else others.push(entry)
  }
  yield
  for (const entry of others) {
    end(entry)
    yield
  }
}

/** A handle of a package may throw; the others are closed all the same. */
function closeSafely(handle: object, close: Close, late: boolean = false): Closed | undefined {
  try {
    return close(handle, late)
  } catch (error) {
    return {
      kind: 'handles',
      name: `${handle.constructor?.name} (not closed: ${describeThrown(error).message})`,
    }
  }
}

/** A worker uses `handle`: what another worker's run has made is shared from now on. */
export function noteUse(handle: object): void {
  const maker = makerOf(handle)
  if (maker === undefined || maker === SHARED) return
  const user = currentScope()
  if (user !== undefined && user.worker !== maker.worker) share(handle)
}

/** From now on `handle` belongs to no worker. */
export function share(handle: object): void {
  const maker = makerOf(handle)
  if (maker === undefined || maker === SHARED) return
  stamp(handle, SHARED)
  const { load, part } = maker as RunScope
  if (part !== 'load') rehome(handle, load)
}

interface Held {
  readonly _handle?: { asyncReset?(resource: object): void } | null
}

/** From now on Node calls the callbacks of a shared handle in the scope of the load, which does not end. */
function rehome(handle: object, scope: RunScope | undefined): void {
  const held = (handle as Held)._handle
  if (scope === undefined || typeof held?.asyncReset !== 'function') return
  // As an agent of node:http does when it reuses a socket (lib/_http_agent.js).
  runInScope(scope, () => held.asyncReset?.({ handle: held }))
}

/** Methods by which code uses a handle that it has not opened: it writes, sends, posts a task to a thread, makes a request. */
const USES = ['_writeGeneric', 'send', 'postMessage', 'ref', 'addRequest'] as const

type Method = (this: object, ...args: unknown[]) => unknown
const watched = new WeakSet<object>()

/** Notes from now on who uses instances of the class of `handle`. A class is patched through its first instance, so that no
 *  module of Node is loaded for it. */
export function watchUse(handle: object): void {
  for (
    let prototype = Object.getPrototypeOf(handle) as object | null;
    prototype !== null && !watched.has(prototype);
    prototype = Object.getPrototypeOf(prototype) as object | null
  )
    watchMethods(prototype)
}

export function watchMethods(prototype: object): void {
  watched.add(prototype)
  const methods = prototype as Record<string, Method>
  for (const name of USES) {
    const original = Object.getOwnPropertyDescriptor(prototype, name)?.value as Method | undefined
    if (typeof original !== 'function') continue
    const replacement: Method = function (...args) {
      noteUse(this)
      return original.apply(this, args)
    }
    Object.defineProperties(replacement, Object.getOwnPropertyDescriptors(original))
    methods[name] = replacement
  }
}
