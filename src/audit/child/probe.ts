// Records an event at every boundary between two modules, in both module systems; the bytes that appear between two
// events belong to one owner. CommonJS: enter and exit around Module.prototype.load, and the first load of a builtin.
// ES modules: resolve (which also gives the edges), the load, and a call before and after the source of each module,
// which brackets exactly its evaluation because imports are hoisted. No load hook is registered: with one, Node keeps
// the source of every CommonJS and JSON file (+1.4 MB measured).

import { pathToFileURL } from 'node:url'
import type { CjsModule, Internals } from './internals.ts'
import { EVENT } from './job.ts'
import type { Recorder } from './recorder.ts'

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown
interface Translated {
  source: unknown
}

/** Hooks the loaders of this process permanently. `ignore` selects URLs of the instrument itself. */
export function installProbe(
  internals: Internals,
  recorder: Recorder,
  ignore: (url: string) => boolean,
): void {
  const seenBuiltins = new Set<string>()
  const bracket = bracketEsm(recorder)
  hookBuiltins(internals, recorder)
  hookCommonJs(internals, recorder, ignore, seenBuiltins)
  hookTranslators(internals, recorder, ignore, seenBuiltins, bracket)
  hookResolve(internals, recorder, ignore)
  hookLoad(internals, recorder, ignore)
  hookLink(internals, recorder)
}

export function urlOfFile(filename: string): string {
  return filename.startsWith('/') ? pathToFileURL(filename).href : filename
}

/** Returns a function that wraps the source of an ES module in an enter and an exit call with a new id. */
function bracketEsm(recorder: Recorder): (url: string, source: unknown) => string {
  let lastId = 0
  const bracket = {
    a: (id: number): void => recorder.mark(EVENT.enterEsm, id),
    b: (id: number): void => recorder.mark(EVENT.exitEsm, id),
  }
  Object.defineProperty(globalThis, '__byre', { value: bracket, enumerable: false })
  return (url, source) => {
    const id = ++lastId
    recorder.record(EVENT.module, id, recorder.name(url), 0)
    let text = typeof source === 'string' ? source : decode(source)
    if (text.startsWith('#!')) text = `//${text}`
    return `__byre.a(${id});${text}\n;__byre.b(${id});`
  }
}

const utf8 = new TextDecoder()
function decode(source: unknown): string {
  return utf8.decode(source as Uint8Array)
}

function hookCommonJs(
  { cjs }: Internals,
  recorder: Recorder,
  ignore: (url: string) => boolean,
  seenBuiltins: Set<string>,
): void {
  const load = cjs.prototype.load
  cjs.prototype.load = function (filename) {
    const url = urlOfFile(filename)
    if (ignore(url)) return load.call(this, filename)
    const name = recorder.name(url)
    recorder.mark(EVENT.enterCjs, name)
    try {
      return load.call(this, filename)
    } finally {
      recorder.mark(EVENT.exitCjs, name)
    }
  }
  const loadRequest = cjs._load
  cjs._load = function (request, parent, isMain) {
    const from = typeof parent?.filename === 'string' ? urlOfFile(parent.filename) : undefined
    if (from === undefined || ignore(from)) return loadRequest.call(this, request, parent, isMain)
    if (!cjs.isBuiltin(request)) {
      recordRequire(cjs._resolveFilename.bind(cjs), recorder, from, request, parent)
      return loadRequest.call(this, request, parent, isMain)
    }
    const url = request.startsWith('node:') ? request : `node:${request}`
    const name = recorder.name(url)
    recorder.record(EVENT.edgeBuiltin, recorder.name(from), name, recorder.name(request))
    if (seenBuiltins.has(url)) return loadRequest.call(this, request, parent, isMain)
    seenBuiltins.add(url)
    recorder.mark(EVENT.enterCjs, name)
    try {
      return loadRequest.call(this, request, parent, isMain)
    } finally {
      recorder.mark(EVENT.exitCjs, name)
    }
  }
}

/** Records the edge of a require() call, also when a cache answers it. A request that does not resolve is not an
 *  edge. */
function recordRequire(
  resolve: (request: string, parent: CjsModule | undefined, isMain: boolean) => string,
  recorder: Recorder,
  from: string,
  request: string,
  parent: CjsModule | undefined,
): void {
  let to: string
  try {
    to = urlOfFile(resolve(request, parent, false))
  } catch {
    return
  }
  recorder.record(EVENT.edgeRequire, recorder.name(from), recorder.name(to), recorder.name(request))
}

/** Builtin modules load each other, and without this hook the first importer is charged for everything it shares
 *  with the next: http2, tls and WebSocket have a megabyte in common. Builtins loaded during warm-up are charged to
 *  no module. */
function hookBuiltins({ builtins }: Internals, recorder: Recorder): void {
  const late = new Set<string>()
  const load = builtins.compileForInternalLoader
  builtins.compileForInternalLoader = function () {
    const isFirst = !this.loaded && !this.loading
    if (recorder.isWarmingUp || (!isFirst && !late.has(this.id))) return load.call(this)
    const name = recorder.name(`node:${this.id}`)
    recorder.record(EVENT.edgeInternal, -1, name, -1)
    if (!isFirst) return load.call(this)
    late.add(this.id)
    recorder.mark(EVENT.enterCjs, name)
    try {
      return load.call(this)
    } finally {
      recorder.mark(EVENT.exitCjs, name)
    }
  }
}

function hookTranslators(
  { translators }: Internals,
  recorder: Recorder,
  ignore: (url: string) => boolean,
  seenBuiltins: Set<string>,
  bracket: (url: string, source: unknown) => string,
): void {
  for (const [format, translate] of translators) {
    translators.set(format, function (this: unknown, ...args: unknown[]): unknown {
      const url = String(args[0])
      if (ignore(url)) return translate.apply(this, args)
      const context = args[1] as Translated | undefined
      // Since Node 22 the second argument is a record that contains the source; on Node 20 it is the source.
      const inRecord = typeof context === 'object' && context !== null && !ArrayBuffer.isView(context)
      if (format === 'module' || format === 'module-typescript') {
        const name = recorder.name(url)
        recorder.mark(EVENT.load, name)
        if (inRecord) context.source = bracket(url, context.source)
        else args[1] = bracket(url, context)
      } else if (format === 'builtin') {
        if (seenBuiltins.has(url)) return translate.apply(this, args)
        seenBuiltins.add(url)
        recorder.mark(EVENT.load, recorder.name(url))
      } else {
        const name = recorder.name(url)
        recorder.record(EVENT.wrapper, name, 0, 0)
        recorder.mark(EVENT.load, recorder.name(`wrapper:${url}`))
        // A view keeps the whole read buffer alive; without the probe only a string would stay.
        if (inRecord && ArrayBuffer.isView(context.source) && format !== 'wasm' && format !== 'addon')
          context.source = decode(context.source)
      }
      const result = translate.apply(this, args)
      recorder.mark(EVENT.loadEnd, -1)
      return result
    })
  }
}

function hookResolve({ loader }: Internals, recorder: Recorder, ignore: (url: string) => boolean): void {
  const recordEdge = (parent: string, specifier: string, resolved: unknown): void => {
    const url = (resolved as { url?: unknown } | undefined)?.url
    if (typeof url !== 'string') return
    recorder.record(EVENT.edgeImport, recorder.name(parent), recorder.name(url), recorder.name(specifier))
  }
  for (const method of ['resolve', 'resolveSync']) {
    const original = loader[method]
    if (typeof original !== 'function') continue
    loader[method] = function (this: unknown, ...args: unknown[]): unknown {
      const { parent, specifier } = resolveArguments(args)
      if (parent === undefined || specifier === undefined || ignore(parent)) return original.apply(this, args)
      recorder.mark(EVENT.resolve, recorder.name(parent))
      const result = original.apply(this, args)
      if (isPromise(result))
        return result.then((r) => {
          recordEdge(parent, specifier, r)
          return r
        })
      recordEdge(parent, specifier, result)
      return result
    }
  }
  hookRequiredEsm(loader, recorder, ignore, recordEdge)
}

/** Node 20 resolves imports of an ES module loaded by require() without the resolve hook; its job has the URL. */
function hookRequiredEsm(
  loader: Internals['loader'],
  recorder: Recorder,
  ignore: (url: string) => boolean,
  recordEdge: (parent: string, specifier: string, resolved: unknown) => void,
): void {
  const original = loader['getModuleJobForRequire']
  if (typeof original !== 'function') return
  loader['getModuleJobForRequire'] = function (this: unknown, ...args: unknown[]): unknown {
    const { parent, specifier } = resolveArguments(args)
    if (parent === undefined || specifier === undefined || ignore(parent)) return original.apply(this, args)
    recorder.mark(EVENT.resolve, recorder.name(parent))
    const job = original.apply(this, args)
    recordEdge(parent, specifier, job)
    return job
  }
}

/** Arguments are (specifier, parentURL, attributes) up to Node 22, (parentURL, {specifier, ...}) since Node 24. */
export function resolveArguments(args: readonly unknown[]): {
  parent: string | undefined
  specifier: string | undefined
} {
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
  const request = args[1]
  if (typeof request === 'object' && request !== null && 'specifier' in request)
    return { parent: text(args[0]), specifier: text(request.specifier) }
  return { parent: text(args[1]), specifier: text(args[0]) }
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as { then?: unknown } | undefined)?.then === 'function'
}

function hookLoad({ loader, major }: Internals, recorder: Recorder, ignore: (url: string) => boolean): void {
  const original = loader['loadAndTranslate']
  // Node 20 calls it outside the time in which the source is compiled; there only the translators record loads.
  if (major < 22 || typeof original !== 'function') return
  loader['loadAndTranslate'] = function (this: unknown, ...args: unknown[]): unknown {
    const first = args[0] as string | { url: string; format?: unknown }
    const url = typeof first === 'string' ? first : first.url
    const format =
      (typeof first === 'string' ? undefined : first.format) ??
      (args[1] as { format?: unknown } | undefined)?.format
    if (ignore(url)) return original.apply(this, args)
    const own = url.startsWith('node:') || format === 'module' || format === 'module-typescript'
    recorder.mark(EVENT.load, recorder.name(own ? url : `wrapper:${url}`))
    const result = original.apply(this, args)
    if (!isPromise(result)) {
      recorder.mark(EVENT.loadEnd, -1)
      return result
    }
    return result.then((r) => {
      recorder.mark(EVENT.loadEnd, -1)
      return r
    })
  }
}

/** Linking allocates for all modules of the graph at once: a forced sample before and after; attribute.ts divides
 *  it. */
function hookLink({ moduleWrap }: Internals, recorder: Recorder): void {
  for (const method of ['instantiate', 'instantiateSync', 'async instantiate']) {
    const original: AnyFunction | undefined = moduleWrap[method]
    if (typeof original !== 'function') continue
    moduleWrap[method] = function (this: unknown, ...args: unknown[]): unknown {
      recorder.mark(EVENT.link, -1, true)
      const result = original.apply(this, args)
      recorder.mark(EVENT.linkEnd, -1, true)
      return result
    }
  }
}

/** Records edges that the require hook cannot see (createRequire in an ES module), from the module tree. */
export function recordRequireTree(
  internals: Internals,
  recorder: Recorder,
  ignore: (url: string) => boolean,
): void {
  for (const module of Object.values(internals.cjs._cache)) {
    if (module?.filename == null) continue
    const from = urlOfFile(module.filename)
    if (ignore(from)) continue
    for (const child of module.children) {
      if (child.filename === null) continue
      const to = urlOfFile(child.filename)
      if (!ignore(to)) recorder.record(EVENT.edgeRequire, recorder.name(from), recorder.name(to), -1)
    }
  }
}
