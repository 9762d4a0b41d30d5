// Caches audit results by the contents of every file the audit loaded: when no file has changed, nothing is measured.

import { createHash } from 'node:crypto'
import { realpathSync, statSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isRecord } from '../base/check.ts'
import { ownVersion } from '../base/version.ts'
import { CHILD_PROTOCOL } from './child/job.ts'
import type { ResolvedAuditOptions } from './options.ts'
import { AUDIT_VERSION, type AuditResult } from './result.ts'

interface CachedAudit {
  readonly files: Readonly<Record<string, string>>
  readonly result: AuditResult
}

/** The cached result of the same audit, marked `cached`; undefined when a file it loaded has changed. */
export async function readCached(options: ResolvedAuditOptions): Promise<AuditResult | undefined> {
  const path = cachePath(options)
  if (path === undefined) return undefined
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (!isRecord(value)) return undefined
    const { files, result } = value as unknown as CachedAudit
    for (const [file, hash] of Object.entries(files)) if ((await hashFile(file)) !== hash) return undefined
    return { ...result, cached: true }
  } catch {
    return undefined // absent or unreadable: measure
  }
}

/** Written to a temporary file and renamed, so that concurrent audits never leave a partial file. A write error only
 *  means that nothing is cached. */
export async function writeCached(options: ResolvedAuditOptions, result: AuditResult): Promise<void> {
  const path = cachePath(options)
  if (path === undefined) return
  const urls = result.modules.filter((m) => m.url.startsWith('file:') && m.kind !== 'wrapper')
  const files: Record<string, string> = {}
  for (const { url } of urls) {
    const file = fileURLToPath(url)
    const hash = await hashFile(file)
    if (hash !== undefined) files[file] = hash
  }
  try {
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
    const temporaryPath = `${path}.${process.pid}`
    await writeFile(temporaryPath, JSON.stringify({ files, result }))
    await rename(temporaryPath, path)
  } catch {
    // not cached: the next audit measures again
  }
}

function cachePath(options: ResolvedAuditOptions): string | undefined {
  if (options.cacheFolder === false) return undefined
  const { onProgress: _p, signal: _s, cacheFolder, childTimeoutMs: _t, parallel: _l, ...key } = options
  const text = JSON.stringify([AUDIT_VERSION, instrumentOf(options.nodePath), key])
  return join(cacheFolder, `${createHash('sha256').update(text).digest('hex').slice(0, 32)}.json`)
}

/** The part of the cache key that identifies the instruments: the node binary (another one may be installed at the
 *  same path later) and the version of byre. */
export function instrumentOf(nodePath: string): string {
  let binary = nodePath
  try {
    const path = realpathSync(nodePath)
    const { size, mtimeMs, ino } = statSync(path)
    binary = JSON.stringify([path, size, mtimeMs, ino])
  } catch {
    // the start of the child reports the missing binary
  }
  return JSON.stringify([ownVersion(), CHILD_PROTOCOL, process.arch, binary])
}

async function hashFile(file: string): Promise<string | undefined> {
  try {
    return createHash('sha256')
      .update(await readFile(file))
      .digest('hex')
  } catch {
    return undefined
  }
}
