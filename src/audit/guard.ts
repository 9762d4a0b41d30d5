// The guard at run time: a forbidden package is refused when it is imported before the program is ready, whoever
// imports it, in both module systems and in worker threads (which inherit --import).

import * as nodeModule from 'node:module'
import { dirname, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isMainThread, MessageChannel } from 'node:worker_threads'
import { ByreError } from '../base/errors.ts'
import { ownFile } from '../base/own-files.ts'
import { readFloorFile } from './floor-file.ts'
import { createWatch, guardRules, type GuardRules, type Violation } from './guard-rules.ts'

export interface Guard {
  /** From now on everything may be loaded. Idempotent. */
  ready(): void
  /** What broke a rule so far, each once. */
  readonly violations: readonly string[]
}

export interface GuardOptions {
  readonly rules: GuardRules
  readonly cwd: string
  /** Say it on stderr instead of throwing. */
  readonly warn: boolean
}

/** The guard the environment asks for: BYRE_GUARD names the floor file, BYRE_GUARD_ENTRY the block (default: the program
 *  by its path from the file's folder), BYRE_GUARD_MODE=warn only says. Undefined without BYRE_GUARD. Throws
 *  BYRE_AUDIT_FLOOR_FILE on a broken file, BYRE_AUDIT_GUARD when there is no such block. */
export function guardFromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  program: string | undefined,
): Guard | undefined {
  const { BYRE_GUARD: path, BYRE_GUARD_ENTRY: named, BYRE_GUARD_MODE: mode } = env
  if (path === undefined || path === '' || env['BYRE_GUARD_LIFTED'] === '1') return undefined
  // The thread Node 20 runs ES module hooks in takes -r too; it has no program.
  if (!isMainThread && program === undefined) return undefined
  const file = readFloorFile(resolve(path))
  const entry = named ?? relative(dirname(resolve(path)), program ?? '.')
  const known = Object.keys(file.entries)
  const found = known.find((name) => name === entry || name === `./${entry}`)
  if (found === undefined)
    throw new ByreError(
      'BYRE_AUDIT_GUARD',
      `Cannot guard '${entry}': '${path}' must have a block for it, got ${known.join(', ') || 'none'}. Record it with byre audit --update, or name it in BYRE_GUARD_ENTRY.`,
    )
  // Threads take a copy of the environment: what guards the program guards its threads.
  process.env['BYRE_GUARD_ENTRY'] = found
  // A child may run in another folder.
  process.env['BYRE_GUARD'] = resolve(path)
  return installGuard({ rules: guardRules(file, found), cwd: process.cwd(), warn: mode === 'warn' })
}

/** Hooks the loaders of this thread for good. */
function installGuard(options: GuardOptions): Guard {
  const ready = new Int32Array(new SharedArrayBuffer(4))
  const seen = new Set<string>()
  const watch = createWatch(options.rules, options.cwd)
  const report = (message: string): void => {
    if (!seen.has(message) && options.warn) process.stderr.write(`byre guard: ${message}\n`)
    seen.add(message)
  }
  const refuse = (violation: Violation | undefined): void => {
    if (violation === undefined || ready[0] === 1) return
    report(violation.message)
    if (!options.warn) throw new ByreError('BYRE_AUDIT_GUARD', violation.message)
  }
  hookLoaders(options, ready, report, (parent, url) => refuse(watch.judge(parent, url)))
  // A try/catch around an import swallows the error: say it once more where nothing can swallow it.
  process.on('exit', () => {
    if (seen.size > 0 && !options.warn)
      process.stderr.write(
        `byre guard: ${seen.size} forbidden import(s) before ready:\n${[...seen].join('\n')}\n`,
      )
  })
  return {
    ready() {
      Atomics.store(ready, 0, 1)
      // A thread that is started from now on is a lazy one, such as those of a pool.
      process.env['BYRE_GUARD_LIFTED'] = '1'
    },
    get violations() {
      return [...seen]
    },
  }
}

type Judge = (parentUrl: string | undefined, url: string) => void

interface Hooks {
  readonly registerHooks?: (hooks: object) => unknown
  readonly register?: (specifier: string, options: object) => unknown
}

function hookLoaders(
  options: GuardOptions,
  ready: Int32Array<SharedArrayBuffer>,
  report: (message: string) => void,
  judge: Judge,
): void {
  const { registerHooks, register } = nodeModule as unknown as Hooks
  if (registerHooks !== undefined) {
    const resolveHook = (
      specifier: string,
      context: { readonly parentURL?: string },
      next: (specifier: string, context: unknown) => { url: string },
    ): { url: string } => {
      const result = next(specifier, context)
      judge(context.parentURL, result.url)
      return result
    }
    registerHooks({ resolve: resolveHook })
    return
  }
  hookRequire(judge)
  const { port1, port2 } = new MessageChannel()
  port1.on('message', report)
  port1.unref()
  register?.(ownFile('audit/guard-thread.js').href, {
    data: { rules: options.rules, cwd: options.cwd, warn: options.warn, ready, port: port2 },
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

function hookRequire(judge: Judge): void {
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
      if (to?.startsWith('/') === true) judge(from, pathToFileURL(to).href)
    }
    return load.call(this, request, parent, isMain)
  }
}
