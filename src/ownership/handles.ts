// What a worker opens ends with its run: its sockets, servers, watchers, threads and ports, also those that a package opens for
// it. A handle that another worker has used since is shared and stays.

import { closeHandle } from './close-handle.ts'
import { currentScope, runInScope, SHARED } from './run-scope.ts'
import type { Close, Opened, RunScope } from './run-scope.ts'
import { makerOf, stamp } from './stamp.ts'
import { touch } from './override.ts'

/** The list is searched for collected handles only from this length on. */
const LIST_MIN = 64
const NAMED_MAX = 20
/** Time that closing may hold the loop without a pause, ms. */
const SLICE_MS = 10

/** Methods that identify a class of which an open instance holds a resource of the process. */
const HOLDERS: readonly (readonly string[])[] = [
  ['destroySoon', 'connect'], // net.Socket
  ['getConnections'], // net.Server
  ['setMulticastTTL'], // dgram.Socket
  ['terminate', 'postMessage'], // Worker
  ['spawn', 'kill'], // ChildProcess
  ['close', 'ref', 'start'], // FSWatcher
  ['onSocket', 'abort'], // ClientRequest
  ['getWatched', 'unwatch'], // chokidar
]

function holdsHandle(prototype: object): boolean {
  const methods = prototype as Readonly<Record<string, unknown>>
  return HOLDERS.some((names) => names.every((name) => typeof methods[name] === 'function'))
}

/** How often a class is checked for an instance that a module makes while it is evaluated. Such an instance is the only one, or
 *  one of few. */
const RARE_MAX = 16

interface Kind {
  readonly holds: boolean
  made: number
}
const kinds = new WeakMap<object, Kind>()
let lastPrototype: object | undefined
let lastKind: Kind | undefined

function kindOf(prototype: object): Kind {
  if (prototype === lastPrototype) return lastKind as Kind
  let kind = kinds.get(prototype)
  if (kind === undefined) {
    kind = { holds: holdsHandle(prototype), made: 0 }
    kinds.set(prototype, kind)
  }
  lastPrototype = prototype
  lastKind = kind
  return kind
}

/** Whether `emitter`, which is being constructed, may hold a resource, and whether few of its class have been made. */
export function classify(emitter: object): { readonly holds: boolean; readonly rare: boolean } {
  const kind = kindOf(Object.getPrototypeOf(emitter) as object)
  return { holds: kind.holds, rare: kind.holds || kind.made++ < RARE_MAX }
}

/** Records that `owner` has opened `handle`. After the end of its run it is closed at once. */
export function noteHandle(owner: RunScope, handle: object, close: Close = closeHandle): void {
  if (owner.ended) {
    // Once its constructor has finished.
    process.nextTick(() => {
      const closed = close(handle, true)
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
  readonly servers: readonly string[]
  readonly handles: readonly string[]
}

/**
 * Closes the open handles of `scope` and returns the names of the first 20 of each kind. Servers are closed before it returns,
 * because the next run needs their ports; where there are many handles the rest is closed in later turns of the loop.
 */
export function closeHandles(scope: RunScope): ClosedHandles {
  const entries = (scope.handles?.list ?? []).flatMap(({ reference, close }) => {
    const handle = reference.deref()
    return handle === undefined || makerOf(handle) === SHARED ? [] : [{ handle, close }]
  })
  scope.handles = undefined
  const isServer = ({ handle }: { readonly handle: object }): boolean =>
    (handle as { listening?: unknown }).listening === true
  const queue = [...entries.filter(isServer), ...entries.filter((entry) => !isServer(entry))]
  const servers = entries.filter(isServer).length
  const names: { servers: string[]; handles: string[] } = { servers: [], handles: [] }
  let next = 0
  const slice = (): void => {
    const until = performance.now() + SLICE_MS
    for (; next < queue.length && (next < servers || performance.now() < until); next++) {
      const { handle, close } = queue[next] as (typeof queue)[number]
      const closed = runInScope(scope, () => close(handle, false))
      if (closed === undefined) continue
      const list = closed.kind === 'servers' ? names.servers : names.handles
      if (list.length < NAMED_MAX) list.push(closed.name)
      else if (list.length === NAMED_MAX) list.push('and more')
    }
    if (next < queue.length) runInScope(undefined, () => setImmediate(slice))
  }
  slice()
  return names
}

/** A worker uses `handle`: what another worker's run has made is shared from now on. */
export function noteUse(handle: object): void {
  const maker = makerOf(handle)
  if (maker === undefined || maker === SHARED) return
  const user = currentScope()
  if (user === undefined || user.worker === maker.worker) return
  stamp(handle, SHARED)
  const { load, part } = maker as RunScope
  if (part !== 'load') rehome(handle, load)
}

interface Held {
  readonly _handle?: { asyncReset?(resource: object): void } | null
}

/** From now on Node calls the callbacks of a shared socket in the scope of the load, which does not end. */
function rehome(socket: object, scope: RunScope | undefined): void {
  const handle = (socket as Held)._handle
  if (scope === undefined || typeof handle?.asyncReset !== 'function') return
  // As an agent of node:http does when it reuses a socket (lib/_http_agent.js).
  runInScope(scope, () => handle.asyncReset?.({ handle }))
}

type Write = (this: object, ...args: unknown[]) => unknown
const watched = new WeakSet<object>()

/** A worker that writes to a socket uses it. Patches net.Socket through its first instance, so that node:net is not loaded for
 *  it. */
export function watchWrites(socket: object): void {
  for (
    let prototype = Object.getPrototypeOf(socket) as Record<string, Write> | null;
    prototype !== null;
    prototype = Object.getPrototypeOf(prototype) as Record<string, Write> | null
  ) {
    if (watched.has(prototype)) return
    if (!Object.hasOwn(prototype, '_writeGeneric')) continue
    watched.add(prototype)
    const original = prototype['_writeGeneric'] as Write
    prototype['_writeGeneric'] = function _writeGeneric(...args) {
      noteUse(this)
      return original.apply(this, args)
    }
    return
  }
}
