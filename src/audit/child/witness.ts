// Detects whether a package is used: wraps the exports of named packages while the program loads and records the first
// one that is read, called or extended. import-in-the-middle wraps the packages that ES modules import, with a narrow
// include list (its hooks cost 3-18 MB, so a watched run is never measured); a require hook wraps what CommonJS code of
// other packages requires.

import { Module, register } from 'node:module'
import type { CjsModule, ModuleInternals } from './internals.ts'

/** The name of the first export used, by package. Packages that were wrapped but not used are absent. */
export interface Witness {
  readonly firstUse: ReadonlyMap<string, string>
  /** Packages that were imported in a way the witness can see. */
  readonly seen: ReadonlySet<string>
}

type Namespace = Record<string, unknown>
type HookFn = (exported: Namespace, name: string) => void
interface InTheMiddle {
  readonly Hook: new (modules: readonly string[], fn: HookFn) => unknown
}
interface SyncHooks {
  readonly supportsSyncHooks: () => boolean
  readonly register: (options: { include: readonly string[] }) => void
}

/** Watches `packages` from now on. */
export async function installWitness(packages: readonly string[]): Promise<Witness> {
  const firstUse = new Map<string, string>()
  const seen = new Set<string>()
  const use = (packageName: string, exportName: string): void => {
    if (!firstUse.has(packageName)) firstUse.set(packageName, exportName)
  }
  const wrapAll = (packageName: string, exported: Namespace): void => {
    seen.add(packageName)
    for (const name of Object.keys(exported)) {
      const value = exported[name]
      if (isWrappable(value)) exported[name] = watched(value, () => use(packageName, name))
    }
  }
  const sync = (await import('import-in-the-middle/register-hooks.mjs' as string)) as SyncHooks
  if (sync.supportsSyncHooks()) sync.register({ include: packages })
  else register('import-in-the-middle/hook.mjs', import.meta.url, { data: { include: packages } })
  const { Hook } = (await import('import-in-the-middle' as string)) as InTheMiddle
  new Hook(packages, (exported, name) => wrapAll(name, exported))
  watchRequires(packages, seen, use)
  return { firstUse, seen }
}

const IN_PACKAGE = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//

function watchRequires(
  packages: readonly string[],
  seen: Set<string>,
  use: (packageName: string, exportName: string) => void,
): void {
  const commonJs = Module as unknown as ModuleInternals
  const load = commonJs._load
  const wrapped = new WeakMap<object, unknown>()
  commonJs._load = function (request, parent: CjsModule | undefined, isMain) {
    const exported = load.call(this, request, parent, isMain)
    if (commonJs.isBuiltin(request) || parent?.filename == null || !isWrappable(exported)) return exported
    const to = packageOf(() => commonJs._resolveFilename(request, parent, false))
    if (to === undefined || !packages.includes(to) || IN_PACKAGE.exec(parent.filename)?.[1] === to)
      return exported
    seen.add(to)
    if (!wrapped.has(exported))
      wrapped.set(
        exported,
        watched(exported, (name) => use(to, name)),
      )
    return wrapped.get(exported)
  }
}

function packageOf(resolve: () => string): string | undefined {
  try {
    return IN_PACKAGE.exec(resolve())?.[1]
  } catch {
    return undefined
  }
}

function isWrappable(value: unknown): value is object {
  return typeof value === 'function' || (typeof value === 'object' && value !== null)
}

/** A proxy for `value` that reports every use except being passed on. Properties that interop code reads
 *  (`__esModule`, `default`, `then`) do not count. */
function watched<T extends object>(value: T, onUse: (name: string) => void): T {
  const ignored = new Set<PropertyKey>([
    '__esModule',
    'default',
    'then',
    'module.exports',
    Symbol.toStringTag,
  ])
  return new Proxy(value, {
    get(target, key, receiver) {
      if (!ignored.has(key)) onUse(String(key))
      // Private fields and internal slots need the real receiver.
      return Reflect.get(target, key, typeof target === 'function' ? receiver : target) as unknown
    },
    apply(target, self, args) {
      onUse('(call)')
      return Reflect.apply(target as () => unknown, self, args) as unknown
    },
    construct(target, args, newTarget) {
      onUse('(new)')
      return Reflect.construct(target as new () => object, args, newTarget) as object
    },
  })
}
