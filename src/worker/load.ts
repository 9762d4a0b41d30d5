// Imports a worker's module and checks its shape.

import { pathToFileURL } from 'node:url'
import { ByreError, describeThrown } from '../base/errors.ts'
import { modulePath } from '../base/module-path.ts'
import type { WorkerModule } from './contract.ts'

export interface LoadedWorker {
  readonly run: WorkerModule['run']
  readonly loadMs: number
  /** Growth of the process's RSS meanwhile; what others did at the same time is in it. */
  readonly rssBytes: number
}

/**
 * Imports the module at `path` (absolute). `attempt` 0 is the plain URL; a later attempt carries a fresh query, since
 * a module that threw rethrows its cached error. Rejects BYRE_WORKER_LOAD (cause: what was thrown) or
 * BYRE_WORKER_SHAPE.
 */
export async function loadWorker(name: string, path: string, attempt: number): Promise<LoadedWorker> {
  const rssBefore = process.memoryUsage.rss()
  const startedAt = performance.now()
  const url = pathToFileURL(path)
  if (attempt > 0) url.search = `byre=${attempt}`
  const module = await importModule(name, path, url.href)
  const loadMs = performance.now() - startedAt
  return {
    run: runOf(name, path, module),
    loadMs,
    rssBytes: Math.max(0, process.memoryUsage.rss() - rssBefore),
  }
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

async function importModule(name: string, path: string, href: string): Promise<Record<string, unknown>> {
  try {
    return (await import(href)) as Record<string, unknown>
  } catch (error) {
    const { type, message } = describeThrown(error)
    throw new ByreError(
      'BYRE_WORKER_LOAD',
      `Cannot load worker '${name}' from ${path}: ${type}: ${message}`,
      { cause: error },
    )
  }
}

function runOf(name: string, path: string, module: Record<string, unknown>): WorkerModule['run'] {
  // A CommonJS worker arrives as the default export.
  const fallback = module['default'] as Record<string, unknown> | undefined
  const run = module['run'] ?? (typeof fallback === 'object' ? fallback?.['run'] : undefined)
  if (typeof run === 'function') return run as WorkerModule['run']
  const exports = Object.keys(module)
  throw new ByreError(
    'BYRE_WORKER_SHAPE',
    `Cannot host worker '${name}': ${path} must export a function 'run', got exports ${exports.length === 0 ? '(none)' : exports.join(', ')}. ` +
      `Export run(ctx), or use 'script:' with placement 'thread' or 'process'.`,
  )
}
