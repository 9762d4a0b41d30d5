// What a run opens that is no EventEmitter of its own: listeners on EventTargets, message ports, broadcast channels, watchers of
// node:fs that have no object or that Node shares between callers.

import { createRequire, syncBuiltinESMExports } from 'node:module'
import fs from 'node:fs'
import fsPromises from 'node:fs/promises'
import { ownerHere } from './evaluation.ts'
import { noteHandle, watchMethods } from './handles.ts'
import { currentScope } from './run-scope.ts'
import type { Closed, RunScope, TargetListener } from './run-scope.ts'
import { makerOf, stamp } from './stamp.ts'

/** Listeners recorded per run; beyond that the oldest are forgotten. */
const LISTENERS_MAX = 1000
/** The list is searched for removed listeners only from this length on. */
const LISTENERS_MIN = 64

/** Returns the undo. */
export function wrapTargets(): () => void {
  // Not imported: 'byre supervise' loads it only when it hosts workers.
  const threads = createRequire(import.meta.url)('node:worker_threads') as {
    readonly MessagePort: { readonly prototype: object }
  }
  watchMethods(threads.MessagePort.prototype)
  const undos = [
    rememberTargetListeners(),
    rememberMade(threads as unknown as Host, 'MessageChannel', ({ port1, port2 }: Ports) => [
      [port1, closePort],
      [port2, closePort],
    ]),
    rememberMade(threads as unknown as Host, 'BroadcastChannel', (channel: object) => [
      [channel, closeChannel],
    ]),
    endWatchWithRun(),
    endWatchFileWithRun(),
  ]
  syncBuiltinESMExports()
  return () => {
    for (const undo of undos) undo()
    syncBuiltinESMExports()
  }
}

function ownerNow(): RunScope | undefined {
  const scope = currentScope()
  return scope === undefined ? undefined : ownerHere(scope)
}

type AddListener = (this: EventTarget, type: string, listener: unknown, options?: unknown) => void

function rememberTargetListeners(): () => void {
  const prototype = EventTarget.prototype as unknown as { addEventListener: AddListener }
  const original = prototype.addEventListener
  const replacement: AddListener = function addEventListener(type, listener, options) {
    const owner = ownerNow()
    original.call(this, type, listener, options) // throws for what is not an EventTarget
    if (owner !== undefined && Object(listener) === listener)
      remember(owner, this, type, listener as object, options)
  }
  Object.defineProperty(replacement, 'length', { value: original.length, configurable: true })
  Object.defineProperty(prototype, 'addEventListener', { value: replacement })
  return () => {
    if (prototype.addEventListener === replacement)
      Object.defineProperty(prototype, 'addEventListener', { value: original })
  }
}

function remember(
  owner: RunScope,
  target: EventTarget,
  type: string,
  listener: object,
  options: unknown,
): void {
  const maker = makerOf(target)
  if (maker === undefined) stamp(target, owner)
  const capture = typeof options === 'boolean' ? options : (options as { capture?: unknown })?.capture
  const entry: TargetListener = {
    target: new WeakRef(target),
    type: String(type),
    listener: new WeakRef(listener),
    capture: Boolean(capture),
    foreign: maker !== undefined && maker.worker !== owner.worker,
  }
  if (owner.ended) {
    removeListener(entry)
    return
  }
  let list = (owner.targetListeners ??= [])
  if (list.length >= LISTENERS_MIN && (list.length & (list.length - 1)) === 0) {
    list = list.filter(isAttached)
    owner.targetListeners = list
  }
  if (list.length >= LISTENERS_MAX) list.shift()
  list.push(entry)
}

/** Node keeps the listeners of a target under a symbol (lib/internal/event_target.js, the same from Node 20 to 26). */
function isAttached({ target, type, listener }: TargetListener): boolean {
  const live = target.deref()
  const wanted = listener.deref()
  if (live === undefined || wanted === undefined) return false
  const key = Object.getOwnPropertySymbols(live).find(({ description }) => description === 'kEvents')
  if (key === undefined) return true
  interface Node {
    readonly next?: Node
    readonly listener?: unknown
  }
  const events = (live as unknown as Record<symbol, ReadonlyMap<string, { readonly next?: Node }>>)[key]
  for (let node = events?.get(type)?.next; node !== undefined; node = node.next) {
    const registered = node.listener
    if (registered === wanted || (registered as WeakRef<object>)?.deref?.() === wanted) return true
  }
  return false
}

function removeListener({ target, type, listener, capture }: TargetListener): void {
  const wanted = listener.deref()
  if (wanted !== undefined)
    target.deref()?.removeEventListener(type, wanted as (event: Event) => void, { capture })
}

/** Removes the listeners that `scope` has left on EventTargets; returns the names of those on targets of others. */
export function removeTargetListeners(scope: RunScope): string[] {
  const left = (scope.targetListeners ?? []).filter(isAttached)
  scope.targetListeners = undefined
  left.forEach(removeListener)
  return left
    .filter(({ foreign }) => foreign)
    .map(({ target, type }) => `${target.deref()?.constructor.name}.addEventListener('${type}')`)
}

type Host = Record<string, unknown>
type Class = new (...args: unknown[]) => object
interface Ports {
  readonly port1: object
  readonly port2: object
}
type Parts = [handle: object, close: (handle: object) => Closed | undefined][]

/** Replaces a class of `host` and of globalThis by one that records its instances. */
function rememberMade<T>(host: Host, name: string, partsOf: (made: T & object) => Parts): () => void {
  const original = host[name] as Class
  const replacement = new Proxy(original, {
    construct(target, args, newTarget) {
      const owner = ownerNow()
      const made = Reflect.construct(target, args, newTarget) as T & object
      if (owner !== undefined)
        for (const [part, close] of partsOf(made)) {
          stamp(part, owner)
          noteHandle(owner, part, close)
        }
      return made
    },
  })
  const undos = [host, globalThis as unknown as Host].map((each) => {
    const descriptor = Object.getOwnPropertyDescriptor(each, name)
    Object.defineProperty(each, name, { value: replacement, configurable: true, writable: true })
    return () => {
      if (each[name] === replacement && descriptor !== undefined)
        Object.defineProperty(each, name, descriptor)
    }
  })
  return () => {
    for (const undo of undos) undo()
  }
}

/** A port that holds the loop is named; another one may be closed already. */
function closePort(port: object): Closed | undefined {
  const handle = port as { hasRef?(): boolean; close(): void }
  const holds = handle.hasRef?.() === true
  handle.close()
  return holds ? { kind: 'handles', name: 'MessagePort' } : undefined
}

interface Channel {
  readonly name: string
  close(): void
}

function closeChannel(channel: object): Closed | undefined {
  const { name } = channel as Channel
  const key = Object.getOwnPropertySymbols(channel).find(({ description }) => description === 'kHandle')
  const open = key !== undefined && (channel as Record<symbol, unknown>)[key] !== undefined
  ;(channel as Channel).close()
  return open ? { kind: 'handles', name: `BroadcastChannel '${name}'` } : undefined
}

type Watch = (path: unknown, options?: unknown) => AsyncIterable<unknown>

/** An iteration of fsPromises.watch() has no object that could be closed; it ends with the signal that it is given. */
function endWatchWithRun(): () => void {
  const host = fsPromises as unknown as { watch: Watch }
  const original = host.watch
  const replacement: Watch = function watch(path, options) {
    const owner = ownerNow()
    const given = typeof options === 'string' ? { encoding: options } : (options ?? {})
    const own = (given as { readonly signal?: unknown }).signal
    const valid = typeof given === 'object' && (own === undefined || own instanceof AbortSignal)
    if (owner === undefined || !valid) return original(path, options) // Node has its own errors
    const end = new AbortController()
    const signal = own instanceof AbortSignal ? AbortSignal.any([own, end.signal]) : end.signal
    const state = { open: true }
    noteHandle(owner, signal, () => {
      end.abort()
      return state.open ? { kind: 'handles', name: `fsPromises.watch('${String(path)}')` } : undefined
    })
    return iterate(original(path, { ...given, signal }), end.signal, state)
  }
  host.watch = replacement
  return () => {
    if (host.watch === replacement) host.watch = original
  }
}

/** Once the run has ended, the iteration settles no more: an error would be one of a run that is over. */
async function* iterate(
  events: AsyncIterable<unknown>,
  end: AbortSignal,
  state: { open: boolean },
): AsyncIterable<unknown> {
  try {
    for await (const event of events) {
      if (end.aborted) await never() // Node has queued the event before
      yield event
    }
  } catch (error) {
    if (end.aborted) await never()
    throw error
  } finally {
    state.open = false
  }
}

async function never(): Promise<never> {
  return new Promise(() => {})
}

type WatchFile = (path: string, ...rest: unknown[]) => fs.StatWatcher
type StatListener = Parameters<typeof fs.unwatchFile>[1]

/** Node keeps one StatWatcher for each path and all callers: only the listener is the run's. */
function endWatchFileWithRun(): () => void {
  const host = fs as unknown as { watchFile: WatchFile }
  const original = host.watchFile
  const replacement: WatchFile = function watchFile(path, ...rest) {
    const owner = ownerNow()
    const watcher = original(path, ...rest)
    const listener = rest.at(-1) as NonNullable<StatListener>
    if (owner === undefined) return watcher
    noteHandle(owner, listener, () => {
      const open = watcher.listeners('change').includes(listener)
      fs.unwatchFile(path, listener)
      return open ? { kind: 'handles', name: `fs.watchFile('${path}')` } : undefined
    })
    return watcher
  }
  host.watchFile = replacement
  return () => {
    if (host.watchFile === replacement) host.watchFile = original
  }
}
