// Imports a worker's module and checks its shape.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { ByreError, describeThrown } from '../base/errors.ts'
import type { ErrorCode } from '../base/errors.ts'
import { modulePath } from '../base/module-path.ts'
import { brokenFile } from './broken-file.ts'
import type { WorkerModule } from './contract.ts'
import { isAboutAFile, isSyntaxOfAFile, placeOfSyntaxError } from './load-failure.ts'

/** What has to happen before another start can succeed: its code is changed, or Node begins without what failed. */
export type LoadNeeds = 'new-code' | 'new-process'

/** Code BYRE_WORKER_LOAD (cause: what was thrown) or BYRE_WORKER_SHAPE. */
export class LoadError extends ByreError {
  /** Absent when another attempt may succeed as things are. */
  readonly needs: LoadNeeds | undefined

  constructor(code: ErrorCode, message: string, given: { needs?: LoadNeeds; cause?: unknown }) {
    super(code, message, given.cause === undefined ? {} : { cause: given.cause })
    this.needs = given.needs
  }
}

/** The module of the worker `name`. */
export interface ModuleOfWorker {
  readonly name: string
  /** Absolute, as the config has it. */
  readonly path: string
  /** 0 is the plain URL; a later attempt carries a fresh query, since a module that threw rethrows its cached error. */
  readonly attempt: number
}

/** The URL that `loadWorker` imports. */
function urlOf({ path, attempt }: ModuleOfWorker): string {
  const url = pathToFileURL(path)
  if (attempt > 0) url.search = `byre=${attempt}`
  return url.href
}

/** Imports the module. One without `run` is refused before it is evaluated, where that can be seen. Rejects LoadError. */
export async function loadWorker(module: ModuleOfWorker): Promise<WorkerModule['run']> {
  const href = urlOf(module)
  if (await lacksRun(module.path, href)) throw misshapen(module, 'got no export of that name')
  return runOf(module, await importModule(module, href))
}

/**
 * The file that an import of the module at `path` loads. Asked of Node's own resolver, not of the file system: it keeps
 * where a link led the first time for as long as the process lives, and leaves links alone with --preserve-symlinks.
 */
export function fileOf(path: string): string {
  try {
    return modulePath(import.meta.resolve(pathToFileURL(path).href)) ?? path
  } catch {
    return path // the import fails with it and says why
  }
}

/** Declares or lists an export of this name. */
const EXPORTS_RUN =
  /\bexport\s+(?:async\s+)?(?:function\s*\*?|const|let|var|class)\s+run\b|\bexport\s*\{[^}]*\brun\b/
/** No CommonJS module exports anything without one of these. */
const COMMONJS_EXPORTS = /\b(?:exports|module|this|eval)\b/

/**
 * True when the module certainly exports no `run`; nothing of it was evaluated then. Node links modules before it
 * evaluates them, and links no import of a name that is not exported. Most texts show the export, which spares the
 * module that imports it (3.5 KiB); what cannot be decided here is evaluated and looked at afterwards.
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
      return !/\bdefault\b/.test(text) // `run` may be a property of the default export
    const commonJs = `Named export 'run' not found. The requested module '${href}' is a CommonJS module`
    return message.startsWith(commonJs) && !COMMONJS_EXPORTS.test(text)
  }
}

function sourceOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // the import says why
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
  const place = isSyntaxOfAFile(cause) ? (placeOfSyntaxError(cause) ?? (await brokenFile(path))) : undefined
  const where = place === undefined || message.includes(place) ? '' : `, in ${place}`
  return new LoadError('BYRE_WORKER_LOAD', `${fact}${where}. ${remedy(name)}`, { needs: 'new-code', cause })
}

function remedy(name: string): string {
  return `Loading it again cannot help: fix this, then run 'byre start ${name}'.`
}

function runOf(module: ModuleOfWorker, loaded: Record<string, unknown>): WorkerModule['run'] {
  // A CommonJS worker arrives as the default export.
  const fallback = loaded['default'] as Record<string, unknown> | undefined
  const run = loaded['run'] ?? (typeof fallback === 'object' ? fallback?.['run'] : undefined)
  if (typeof run === 'function') return run as WorkerModule['run']
  const exports = Object.keys(loaded)
  throw misshapen(module, `got exports ${exports.length === 0 ? '(none)' : exports.join(', ')}`)
}

function misshapen({ name, path }: ModuleOfWorker, found: string): LoadError {
  // An ES module is read again from the next URL. Of a CommonJS module Node keeps source and exports, whatever the URL.
  delete createRequire(import.meta.url).cache[fileOf(path)]
  const fact = `Cannot host worker '${name}': ${path} must export a function 'run', ${found}.`
  const cure = `Export run(ctx), or use 'script:' with placement 'thread' or 'process'.`
  return new LoadError('BYRE_WORKER_SHAPE', `${fact} ${cure} ${remedy(name)}`, { needs: 'new-code' })
}
