// Leave-one-out runs: the given import edges resolve to a stub, everything else loads normally. A stub is callable,
// constructible and extensible, has the real export names (also for ownKeys), and every property read from it is a
// stub.

import { urlOfFile, resolveArguments } from './probe.ts'
import type { Internals } from './internals.ts'
import type { CutEdge } from './job.ts'

/** Replaces the edges permanently; every edge that the run reaches is added to `applied` as `from\nto`. */
export function installCuts(internals: Internals, cuts: readonly CutEdge[], applied: Set<string>): void {
  if (cuts.length === 0) return
  const byParent = new Map<string, Map<string, CutEdge>>()
  for (const cut of cuts) {
    const children = byParent.get(cut.from) ?? new Map<string, CutEdge>()
    byParent.set(cut.from, children.set(cut.to, cut))
  }
  const find = (from: string, to: string): CutEdge | undefined => {
    const cut = byParent.get(from)?.get(to)
    if (cut !== undefined) applied.add(`${from}\n${to}`)
    return cut
  }
  Object.defineProperty(globalThis, '__byreStub', { value: stubOf, enumerable: false })
  cutRequires(internals, byParent, find)
  cutImports(internals, byParent, find)
}

function cutRequires(
  { cjs }: Internals,
  byParent: ReadonlyMap<string, unknown>,
  find: (from: string, to: string) => CutEdge | undefined,
): void {
  const loadRequest = cjs._load
  cjs._load = function (request, parent, isMain) {
    const from = typeof parent?.filename === 'string' ? urlOfFile(parent.filename) : undefined
    if (from === undefined || !byParent.has(from)) return loadRequest.call(this, request, parent, isMain)
    const to = cjs.isBuiltin(request)
      ? `node:${request.replace(/^node:/, '')}`
      : resolved(() => urlOfFile(cjs._resolveFilename(request, parent, false)))
    const cut = to === undefined ? undefined : find(from, to)
    return cut === undefined ? loadRequest.call(this, request, parent, isMain) : stubOf(cut.exportNames)
  }
}

function resolved(resolve: () => string): string | undefined {
  try {
    return resolve()
  } catch {
    return undefined // the real call throws the real error
  }
}

function cutImports(
  { loader }: Internals,
  byParent: ReadonlyMap<string, unknown>,
  find: (from: string, to: string) => CutEdge | undefined,
): void {
  const redirect = (from: string, result: unknown): unknown => {
    const url = (result as { url?: unknown } | undefined)?.url
    const cut = typeof url === 'string' ? find(from, url) : undefined
    return cut === undefined ? result : { url: stubModuleUrl(cut.exportNames), format: 'module' }
  }
  for (const method of ['resolve', 'resolveSync']) {
    const original = loader[method]
    if (typeof original !== 'function') continue
    loader[method] = function (this: unknown, ...args: unknown[]): unknown {
      const { parent } = resolveArguments(args)
      const result = original.apply(this, args)
      if (parent === undefined || !byParent.has(parent)) return result
      if (typeof (result as { then?: unknown }).then === 'function')
        return (result as Promise<unknown>).then((r) => redirect(parent, r))
      return redirect(parent, result)
    }
  }
  cutRequiredEsm(loader, byParent)
}

/** Node 20 only, see hookRequiredEsm in probe.ts. */
function cutRequiredEsm(loader: Internals['loader'], byParent: ReadonlyMap<string, unknown>): void {
  const original = loader['getModuleJobForRequire']
  const resolveSync = loader['resolveSync']
  if (typeof original !== 'function' || typeof resolveSync !== 'function') return
  loader['getModuleJobForRequire'] = function (this: unknown, ...args: unknown[]): unknown {
    const { parent } = resolveArguments(args)
    if (parent === undefined || !byParent.has(parent)) return original.apply(this, args)
    const { url } = resolveSync.apply(this, args) as { url: string }
    // `resolveSync` is already hooked: a cut edge resolves to the stub's URL.
    return original.apply(this, url.startsWith('data:') ? [url, ...args.slice(1)] : args)
  }
}

function stubModuleUrl(names: readonly string[]): string {
  const list = [...new Set(['default', ...names])]
  const exported = list.map((name) => `s as ${JSON.stringify(name)}`).join(',')
  return `data:text/javascript,${encodeURIComponent(`const s=globalThis.__byreStub([]);export{${exported}}`)}`
}

let shared: unknown

/** A value that can replace any module or any value read from one. All values read from a stub are one shared stub:
 *  a barrel reads hundreds of names, and stubs that use memory would hide part of the saving. */
function stubOf(names: readonly string[]): unknown {
  if (names.length > 0) return createStub(new Set(names))
  shared ??= createStub(new Set())
  return shared
}

function createStub(own: ReadonlySet<PropertyKey>): unknown {
  const written = new Map<PropertyKey, unknown>()
  const read = (target: object, key: PropertyKey): unknown => {
    if (written.has(key)) return written.get(key)
    if (key === Symbol.toPrimitive) return () => ''
    if (key === Symbol.iterator) return [][Symbol.iterator].bind([])
    if (key === '__esModule') return own.has(key)
    if (typeof key === 'symbol' || key === 'then') return undefined
    if (key === 'prototype' || key in Function.prototype) return Reflect.get(target, key)
    return stubOf([])
  }
  const target = function StubOfALazyImport(): unknown {
    return stub
  }
  const stub: unknown = new Proxy(target, {
    get: (t, key) => read(t, key),
    has: (t, key) => own.has(key) || Reflect.has(t, key),
    ownKeys: (t) => [...new Set([...Reflect.ownKeys(t), ...own])] as (string | symbol)[],
    getOwnPropertyDescriptor: (t, key) =>
      own.has(key) && !Reflect.ownKeys(t).includes(key as string)
        ? { value: read(t, key), enumerable: true, configurable: true, writable: true }
        : Reflect.getOwnPropertyDescriptor(t, key),
    set: (_t, key, value) => {
      if (own.size > 0) written.set(key, value)
      return true
    },
    defineProperty: (_t, key, descriptor) => {
      if (own.size > 0 && 'value' in descriptor) written.set(key, descriptor.value)
      // A proxy must not report success for a non-configurable property that its target lacks; for all others the
      // caller sees success.
      return descriptor.configurable !== false || Reflect.has(target, key)
    },
    apply: () => stub,
    construct: (_t, _args, newTarget) => Object.create(newTarget.prototype as object) as object,
  })
  return stub
}
