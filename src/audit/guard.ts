// The guard at run time: refuses imports of forbidden packages before the program is ready, from any module, in both
// module systems and in worker threads (which inherit --import).

import * as nodeModule from 'node:module'
import { dirname, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isMainThread, MessageChannel } from 'node:worker_threads'
import { ByreError } from '../base/errors.ts'
import { ownFile } from '../base/own-files.ts'
import { readFloorFile } from './floor-file.ts'
import { createImportChecker, guardRules, type GuardRules, type Violation } from './guard-rules.ts'
import type { GuardThreadData } from './guard-thread.ts'

export interface Guard {
  /** Lifts the guard: from now on every module may be loaded. Idempotent. */
  ready(): void
  /** Messages of the violations so far, each once. */
  readonly violations: readonly string[]
}

/** Installs the guard that the environment configures: BYRE_GUARD is the floor file, BYRE_GUARD_ENTRY the block in
 *  it (default: the program's path relative to the file's folder), BYRE_GUARD_MODE=warn reports on stderr instead of
 *  throwing. Returns undefined without BYRE_GUARD. Throws BYRE_AUDIT_FLOOR_FILE for an invalid file and
 *  BYRE_AUDIT_GUARD when it has no such block. */
export function guardFromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  program: string | undefined,
): Guard | undefined {
  const { BYRE_GUARD: path, BYRE_GUARD_ENTRY: named, BYRE_GUARD_MODE: mode } = env
  if (path === undefined || path === '' || env['BYRE_GUARD_LIFTED'] === '1') return undefined
  // The thread in which Node 20 runs ES module hooks loads -r modules too; it has no program.
  if (!isMainThread && program === undefined) return undefined
  const file = readFloorFile(resolve(path))
  const entry = named ?? relative(dirname(resolve(path)), program ?? '.')
  const known = Object.keys(file.entries)
  const found = known.find((name) => name === entry || name === `./${entry}`)
  if (found === undefined)
    throw new ByreError(
      'BYRE_AUDIT_GUARD',
      `Cannot guard '${entry}': '${path}' has no block for it, only for: ${known.join(', ') || 'no entry'}. Record one with byre audit --update, or set BYRE_GUARD_ENTRY.`,
    )
  // Worker threads copy the environment: they use the same block of the same file.
  process.env['BYRE_GUARD_ENTRY'] = found
  // Child processes may have another working directory.
  process.env['BYRE_GUARD'] = resolve(path)
  return installGuard(guardRules(file, found), process.cwd(), mode === 'warn')
}

/** Hooks the loaders of this thread permanently. */
function installGuard(rules: GuardRules, cwd: string, warn: boolean): Guard {
  const ready = new Int32Array(new SharedArrayBuffer(4))
  const seen = new Set<string>()
  const checker = createImportChecker(rules, cwd)
  const report = (message: string): void => {
    if (!seen.has(message) && warn) process.stderr.write(`byre guard: ${message}\n`)
    seen.add(message)
  }
  const refuse = (violation: Violation | undefined): void => {
    if (violation === undefined || ready[0] === 1) return
    report(violation.message)
    if (!warn) throw new ByreError('BYRE_AUDIT_GUARD', violation.message)
  }
  hookLoaders({ rules, cwd, warn, ready }, report, (parent, url) => refuse(checker.check(parent, url)))
  // A try/catch around an import hides the error, so all violations are repeated at exit.
  process.on('exit', () => {
    if (seen.size > 0 && !warn)
      process.stderr.write(
        `byre guard: ${seen.size} forbidden import(s) before ready:\n${[...seen].join('\n')}\n`,
      )
  })
  return {
    ready() {
      Atomics.store(ready, 0, 1)
      // A thread started from now on, such as one of a pool, is not guarded.
      process.env['BYRE_GUARD_LIFTED'] = '1'
    },
    get violations() {
      return [...seen]
    },
  }
}

type Check = (parentUrl: string | undefined, url: string) => void

interface Hooks {
  readonly registerHooks?: (hooks: object) => unknown
  readonly register?: (specifier: string, options: object) => unknown
}

function hookLoaders(
  data: Omit<GuardThreadData, 'port'>,
  report: (message: string) => void,
  check: Check,
): void {
  const { registerHooks, register } = nodeModule as unknown as Hooks
  if (registerHooks !== undefined) {
    const resolveHook = (
      specifier: string,
      context: { readonly parentURL?: string },
      next: (specifier: string, context: unknown) => { url: string },
    ): { url: string } => {
      const result = next(specifier, context)
      check(context.parentURL, result.url)
      return result
    }
    registerHooks({ resolve: resolveHook })
    return
  }
  hookRequire(check)
  const { port1, port2 } = new MessageChannel()
  port1.on('message', report)
  port1.unref()
  register?.(ownFile('audit/guard-thread.js').href, {
    data: { ...data, port: port2 },
    transferList: [port2],
  })
}

interface CommonJs {
  _load: (
    this: unknown,
    request: string,
    parent: { filename?: string } | undefined,
    isMain: boolean,
  ) => unknown
  _resolveFilename: (request: string, parent: unknown, isMain: boolean) => string
}

function hookRequire(check: Check): void {
  const commonJs = nodeModule.Module as unknown as CommonJs
  const load = commonJs._load
  commonJs._load = function (request, parent, isMain) {
    if (!nodeModule.Module.isBuiltin(request)) {
      const from = typeof parent?.filename === 'string' ? pathToFileURL(parent.filename).href : undefined
      let to: string | undefined
      try {
        to = commonJs._resolveFilename(request, parent, isMain)
      } catch {
        // the real call throws the real error
      }
      if (to?.startsWith('/') === true) check(from, pathToFileURL(to).href)
    }
    return load.call(this, request, parent, isMain)
  }
}
