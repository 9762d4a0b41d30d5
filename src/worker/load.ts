// Imports the module of a worker and checks that it exports `run`.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { ByreError, describeThrown } from '../base/errors.ts'
import type { ErrorCode } from '../base/errors.ts'
import { modulePath } from '../base/module-path.ts'
import type { WorkerModule } from './contract.ts'
import { findSyntaxError, isAboutAFile, isSyntaxOfAFile, placeOfSyntaxError } from './load-failure.ts'

/** The condition under which another start can succeed: changed code, or a new process without the failed load. */
export type LoadNeeds = 'new-code' | 'new-process'

/** The code is BYRE_WORKER_LOAD, with the thrown value as `cause`, or BYRE_WORKER_SHAPE. */
export class LoadError extends ByreError {
  /** Undefined when another attempt may succeed without changes. */
  readonly needs: LoadNeeds | undefined

  constructor(code: ErrorCode, message: string, given: { needs?: LoadNeeds; cause?: unknown }) {
    super(code, message, given.cause === undefined ? {} : { cause: given.cause })
    this.needs = given.needs
  }
}

/** The module of worker `name`. */
export interface ModuleOfWorker {
  readonly name: string
  /** The absolute path from the config. */
  readonly path: string
  /** 0 imports the plain URL. Later attempts add a new query, since Node caches the error of a module that threw. */
  readonly attempt: number
}

/** The URL that `loadWorker` imports. */
function urlOf({ path, attempt }: ModuleOfWorker): string {
  const url = pathToFileURL(path)
  if (attempt > 0) url.search = `byre=${attempt}`
  return url.href
}

/** Imports the module. Where possible, a module without `run` is refused before it is evaluated. Rejects with LoadError. */
export async function loadWorker(module: ModuleOfWorker): Promise<WorkerModule['run']> {
  const href = urlOf(module)
  if (await lacksRun(module.path, href)) throw shapeError(module, 'got no export of that name')
  return runOf(module, await importModule(module, href))
}

/**
 * Returns the file that an import of the module at `path` loads. Uses Node's resolver and not the file system: the resolver
 * caches the target of a link for the life of the process, and does not follow links with --preserve-symlinks.
 */
export function fileOf(path: string): string {
  try {
    return modulePath(import.meta.resolve(pathToFileURL(path).href)) ?? path
  } catch {
    return path // The import fails with the same error and reports it.
  }
}

/** Matches a declared or listed export `run`. */
const EXPORTS_RUN =
  /\bexport\s+(?:async\s+)?(?:function\s*\*?|const|let|var|class)\s+run\b|\bexport\s*\{[^}]*\brun\b/
/** A CommonJS module needs one of these to export anything. */
const COMMONJS_EXPORTS = /\b(?:exports|module|this|eval)\b/

/**
 * Returns true when the module certainly does not export `run`. The module is not evaluated then: Node links modules
 * before it evaluates them, and cannot link an import of a name that is not exported. For most modules the source text
 * shows the export, which saves the probe module (3.5 KiB). Undecided cases are checked after evaluation.
 */
async function lacksRun(path: string, href: string): Promise<boolean> {
  const text = sourceOf(path)
  if (text === undefined || EXPORTS_RUN.test(text)) return false
  const probe = `data:text/javascript,export{run}from${encodeURIComponent(JSON.stringify(href))}`
  try {
    await import(probe)
    return false
  } catch (error) {
    const { message } = describeThrown(error)
    if (message === `The requested module '${href}' does not provide an export named 'run'`)
      return !/\bdefault\b/.test(text) // `run` may be a property of the default export.
    const commonJs = `Named export 'run' not found. The requested module '${href}' is a CommonJS module`
    return message.startsWith(commonJs) && !COMMONJS_EXPORTS.test(text)
  }
}

function sourceOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // The import reports the reason.
  }
}

async function importModule(module: ModuleOfWorker, href: string): Promise<Record<string, unknown>> {
  try {
    return (await import(href)) as Record<string, unknown>
  } catch (error) {
    throw await failure(module, error)
  }
}

async function failure({ name, path }: ModuleOfWorker, cause: unknown): Promise<LoadError> {
  const { type, message } = describeThrown(cause)
  const fact = `Cannot load worker '${name}' from ${path}: ${type}: ${message}`
  if (!isAboutAFile(cause)) return new LoadError('BYRE_WORKER_LOAD', fact, { cause })
  const place = isSyntaxOfAFile(cause)
    ? (placeOfSyntaxError(cause) ?? (await findSyntaxError(path)))
    : undefined
  const where = place === undefined || message.includes(place) ? '' : `, in ${place}`
  return new LoadError('BYRE_WORKER_LOAD', `${fact}${where}. ${remedy(name)}`, { needs: 'new-code', cause })
}

function remedy(name: string): string {
  return `Another attempt cannot succeed. Fix the code, then run 'byre start ${name}'.`
}

function runOf(module: ModuleOfWorker, loaded: Record<string, unknown>): WorkerModule['run'] {
  // The exports of a CommonJS worker are its default export.
  const fallback = loaded['default'] as Record<string, unknown> | undefined
  const run = loaded['run'] ?? (typeof fallback === 'object' ? fallback?.['run'] : undefined)
  if (typeof run === 'function') return run as WorkerModule['run']
  const exports = Object.keys(loaded)
  throw shapeError(module, `got exports ${exports.length === 0 ? '(none)' : exports.join(', ')}`)
}

function shapeError({ name, path }: ModuleOfWorker, found: string): LoadError {
  // Node reads an ES module again under a new URL, but caches the source and exports of a CommonJS module for every URL.
  delete createRequire(import.meta.url).cache[fileOf(path)]
  const fact = `Cannot host worker '${name}': ${path} must export a function 'run', ${found}.`
  const alternatives = `Export run(ctx), or use 'script:' with placement 'thread' or 'process'.`
  return new LoadError('BYRE_WORKER_SHAPE', `${fact} ${alternatives} ${remedy(name)}`, { needs: 'new-code' })
}
