// The main module of every audited child: take a snapshot, load the entries, take another one, write the result to fd
// 3. The child has a clean environment (env -i, fixed flags) and keeps as little memory as possible, so that the
// difference is the program's.

import { readFileSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ownFile } from '../../base/own-files.ts'
import { installCuts } from './cut.ts'
import { loadInternals, type Internals } from './internals.ts'
import { CHILD_PROTOCOL, type ChildJob, type ChildResult, type EntryJob, type Snapshot } from './job.ts'
import { installProbe, recordRequireTree } from './probe.ts'
import { createRecorder, type Recorder } from './recorder.ts'
import { runMajorGc, monotonicMs, takeCollectedSnapshot, takeSnapshot } from './snapshot.ts'

const RESULT_FD = 3
const own = ownFile('').href
const ignore = (url: string): boolean => url.startsWith(own)

await run(readJob())

function readJob(): ChildJob {
  const path = process.argv[2]
  if (path === undefined)
    throw new Error(
      'Cannot start: the path of a job file must be the first argument. Only byre audit starts this module.',
    )
  const job = JSON.parse(readFileSync(path, 'utf8')) as ChildJob
  if (job.protocol !== CHILD_PROTOCOL)
    throw new Error(
      `Cannot run a job of protocol ${String(job.protocol)}: byre and its audit child must have the same version.`,
    )
  return job
}

async function run(job: ChildJob): Promise<void> {
  // Bare and probed children must differ only in their hooks, so both load the internals.
  const witness =
    job.witness === undefined ? undefined : await (await import('./witness.ts')).installWitness(job.witness)
  const internals = job.collect ? loadInternals() : undefined
  const applied = new Set<string>()
  if (internals !== undefined) installCuts(internals, job.cuts, applied)
  const recorder =
    job.probe === undefined || internals === undefined ? undefined : createRecorder(job.probe, internals.v8)
  if (recorder !== undefined && internals !== undefined) installProbe(internals, recorder, ignore)
  if (job.warmUpUrl !== undefined) await import(job.warmUpUrl)
  const end = (process as unknown as { reallyExit(code: number): never }).reallyExit.bind(process)
  process.argv = [process.execPath, entryPath(job.entries[0]), ...job.arguments]

  recorder?.restart()
  await rehearse(job)
  recorder?.restart()
  const before = job.collect ? takeCollectedSnapshot() : takeSnapshot()
  const startedAt = monotonicMs()

  let done = false
  const finish = (extra: Partial<ChildResult>, exportNames?: Record<string, string[]>): void => {
    if (done) return
    done = true
    recorder?.close()
    const result: ChildResult = {
      ...measured!,
      ...extra,
      ...(exportNames === undefined ? {} : { exportNames }),
    }
    writeAll(JSON.stringify(result))
    end(0)
  }
  let measured: ChildResult | undefined
  const measure = (): void => {
    if (measured !== undefined) return
    measured = measureAfter(job, before, monotonicMs() - startedAt, recorder, applied)
    if (witness !== undefined)
      measured = {
        ...measured,
        witness: { firstUse: Object.fromEntries(witness.firstUse), seen: [...witness.seen] },
      }
    if (internals !== undefined && recorder !== undefined) recordRequireTree(internals, recorder, ignore)
  }
  // process.exit() while loading ends the program; its memory at that point is its floor.
  process.on('exit', (code) => {
    measure()
    finish({ exitedWith: code })
  })

  const error = await loadEntries(job.entries)
  measure()
  const names = internals !== undefined && recorder !== undefined ? await exportNamesOf(internals) : undefined
  finish(error === undefined ? {} : { error }, names)
}

/** Runs everything that surrounds the entries once, so that first-time costs are not charged to the program. Without
 *  this a module of one line costs 167 KiB on Node 24. */
async function rehearse(job: ChildJob): Promise<void> {
  if (!job.collect) {
    takeSnapshot()
    return
  }
  for (let i = 0; i < 2; i++) {
    await loadEntries([{ url: `data:text/javascript,export const rehearsal=${i}`, how: 'import' }])
    runMajorGc()
    takeCollectedSnapshot()
  }
}

function entryPath(entry: EntryJob | undefined): string {
  return entry?.url.startsWith('file:') === true ? fileURLToPath(entry.url) : (entry?.url ?? '-')
}

async function loadEntries(entries: readonly EntryJob[]): Promise<string | undefined> {
  try {
    for (const entry of entries) {
      if (entry.how === 'require') createRequire(entry.url)(entryPath(entry))
      else await import(entry.url)
    }
    return undefined
  } catch (error) {
    return String((error as Error | undefined)?.stack ?? error).slice(0, 4000)
  }
}

function measureAfter(
  job: ChildJob,
  before: Snapshot,
  importMs: number,
  recorder: Recorder | undefined,
  applied: ReadonlySet<string>,
): ChildResult {
  recorder?.stop()
  const loaded = takeSnapshot()
  const result = {
    protocol: CHILD_PROTOCOL,
    nodeVersion: process.versions.node,
    arch: process.arch,
    importMs,
    before,
    loaded,
    cutsApplied: [...applied],
    ...(process.env['NODE_OPTIONS'] === undefined ? {} : { nodeOptions: process.env['NODE_OPTIONS'] }),
    ...(recorder === undefined
      ? {}
      : { collections: recorder.collections, collectionsMs: recorder.collectionsMs }),
  } as const
  if (!job.collect) return result
  runMajorGc()
  runMajorGc()
  const afterGc = takeSnapshot()
  return { ...result, afterGc, afterFullGc: takeCollectedSnapshot() }
}

/** Own keys of every loaded module, read without calling a getter: the export names of its stub. */
async function exportNamesOf(internals: Internals): Promise<Record<string, string[]>> {
  const names: Record<string, string[]> = {}
  for (const module of Object.values(internals.cjs._cache)) {
    if (module?.filename == null) continue
    const value = module.exports
    if ((typeof value === 'object' && value !== null) || typeof value === 'function')
      names[pathToFileURL(module.filename).href] = Object.getOwnPropertyNames(value)
  }
  const cache = internals.loader['loadCache'] as unknown as ReadonlyMap<string, unknown> | undefined
  const urls = [...(cache?.keys() ?? [])].filter((url) => !ignore(url))
  const read = async (url: string): Promise<void> => {
    const namespace = (await import(url)) as object
    names[url] = [...new Set([...(names[url] ?? []), ...Object.keys(namespace)])]
  }
  // A module with a top-level await that never ends must not block the child.
  await Promise.race([Promise.allSettled(urls.map(read)), delay(2000, undefined, { ref: true })])
  return names
}

function writeAll(text: string): void {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; ) at += writeSync(RESULT_FD, bytes, at)
}
