// The children of one audit: a temporary folder, the ways to start a child, their count and the progress.

import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { attribute } from './attribute.ts'
import type { ChildResult, CutEdge, EntryJob, ProbeJob } from './child/job.ts'
import { buildModuleGraph, type ModuleGraph } from './module-graph.ts'
import type { AuditProgress, ResolvedAuditOptions } from './options.ts'
import { runChild, type ChildMode } from './start-child.ts'
import { readTrace } from './trace.ts'
import { writeWarmUp } from './warm-up.ts'

export interface Probed {
  readonly result: ChildResult
  readonly graph: ModuleGraph
  readonly ms: number
}

export interface Session {
  readonly folder: string
  readonly children: number
  plain(entries: readonly EntryJob[]): Promise<ChildResult>
  bare(entries: readonly EntryJob[], cuts?: readonly CutEdge[]): Promise<ChildResult>
  /** A plain run in which `packages` are watched for their first use. */
  watched(entries: readonly EntryJob[], packages: readonly string[]): Promise<ChildResult>
  probed(entries: readonly EntryJob[], nodeVersion: string, cuts?: readonly CutEdge[]): Promise<Probed>
  /** Runs the tasks, at most `parallel` at once, and reports progress after each. Results are in the order of the
   *  tasks. */
  all<T>(stage: AuditProgress['stage'], tasks: readonly (() => Promise<T>)[], parallel: number): Promise<T[]>
  close(): void
}

const PREFIX = 'byre-audit-'
const ABANDONED_MS = 60 * 60_000

/** Removes the folders of audits that were killed: their process has ended and nothing was written for an hour (a
 *  process in another container is not visible). Folders of other users stay. */
function removeAbandonedFolders(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^byre-audit-(\d+)-/.exec(name)?.[1]
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue
    const path = join(tmpdir(), name)
    try {
      if (Date.now() - statSync(path).mtimeMs > ABANDONED_MS) rmSync(path, { recursive: true, force: true })
    } catch {
      // another audit has removed it, or it belongs to another user
    }
  }
}

export function openSession(options: ResolvedAuditOptions): Session {
  removeAbandonedFolders()
  const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`))
  const warmUpUrl = writeWarmUp(join(folder, 'warm-up'))
  let children = 0
  const start = (
    mode: ChildMode,
    entries: readonly EntryJob[],
    more: {
      cuts?: readonly CutEdge[]
      probe?: ProbeJob
      witness?: readonly string[]
    } = {},
  ): Promise<ChildResult> => {
    children++
    const collect = mode === 'calibrated'
    return runChild({
      mode,
      nodePath: options.nodePath,
      nodeArguments: options.nodeArguments,
      env: options.env,
      cwd: options.cwd,
      folder,
      timeoutMs: options.childTimeoutMs,
      signal: options.signal,
      job: {
        entries,
        collect,
        cuts: more.cuts ?? [],
        arguments: options.arguments,
        ...(collect ? { warmUpUrl } : {}),
        ...(more.probe === undefined ? {} : { probe: more.probe }),
        ...(more.witness === undefined ? {} : { witness: more.witness }),
      },
    })
  }
  return {
    folder,
    get children() {
      return children
    },
    plain: (entries) => start('plain', entries),
    watched: (entries, packages) => start('plain', entries, { witness: packages }),
    bare: (entries, cuts = []) => start('calibrated', entries, { cuts }),
    async probed(entries, nodeVersion, cuts = []) {
      const [eventsPath, namesPath] = [join(folder, `${children}.events`), join(folder, `${children}.names`)]
      const startedAt = performance.now()
      const probe = { eventsPath, namesPath, ...samplingFor(nodeVersion, options.thresholdBytes) }
      const result = await start('calibrated', entries, { probe, cuts })
      const ms = performance.now() - startedAt
      const trace = await readTrace(eventsPath, namesPath)
      return { result, ms, graph: buildModuleGraph(trace, attribute(trace), entries) }
    },
    all: (stage, tasks, parallel) => runAll(stage, tasks, parallel, options.onProgress),
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** Sampling parameters by runtime. Node 20 has no last-resort collection and is accurate within 6 % (p90) at 128
 *  KiB; the others need 64 KiB for programs of many small modules (rxjs on Node 24: error 10.2 % at 128 KiB, 1.1 %
 *  at 64 KiB). */
function samplingFor(
  nodeVersion: string,
  thresholdBytes: number,
): { readonly collection: 'last-resort' | 'major'; readonly thresholdBytes: number } {
  const hasLastResort = Number.parseInt(nodeVersion, 10) >= 22
  return {
    collection: hasLastResort ? 'last-resort' : 'major',
    thresholdBytes: thresholdBytes > 0 ? thresholdBytes : (hasLastResort ? 64 : 128) * 1024,
  }
}

async function runAll<T>(
  stage: AuditProgress['stage'],
  tasks: readonly (() => Promise<T>)[],
  parallel: number,
  onProgress: (progress: AuditProgress) => void,
): Promise<T[]> {
  const results: T[] = []
  const startedAt = performance.now()
  let next = 0
  let done = 0
  const total = tasks.length
  onProgress({ stage, done, total })
  const lane = async (): Promise<void> => {
    while (next < total) {
      const i = next++
      results[i] = await tasks[i]!()
      done++
      const leftMs = ((performance.now() - startedAt) / done) * (total - done)
      onProgress({ stage, done, total, leftMs })
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, Math.min(parallel, total)) }, lane))
  return results
}
