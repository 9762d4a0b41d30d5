// `byre audit`: measures the imports of entries, reports on them, and checks them against byre.floor.json.

import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { audit as runAudit } from '../../audit/audit.ts'
import { diffResults, type FloorDiff } from '../../audit/diff.ts'
import { entryOfFile, packageExists, resolveEntry, type Entry } from '../../audit/entry.ts'
import { emptyFloorEntry, FLOOR_FILE, readFloorFile, writeFloorFile } from '../../audit/floor-file.ts'
import { judgeFloor, updateFloor, type Verdict } from '../../audit/gate.ts'
import type { AuditOptions, AuditProgress } from '../../audit/options.ts'
import type { AuditResult } from '../../audit/result.ts'
import { ByreError } from '../../base/errors.ts'
import { EXIT, type ExitCode } from '../../base/exit-codes.ts'
import { ownFile } from '../../base/own-files.ts'
import { auditText } from '../../report/audit-text.ts'
import { diffText, gateAnnotations, gateMarkdown, gateText } from '../../report/audit-gate.ts'
import { list, text, wholeNumber } from '../flag-values.ts'
import type { FlagValues } from '../flags.ts'
import { columns, print, printError } from '../io.ts'

/** Twice the step of a normal audit. The gate needs only the heavy packages and not the cost of each module, and this saves
 *  3 s for 1200 modules. The budget is checked on runs without the probe. */
const GATE_THRESHOLD_BYTES = 128 * 1024

/** Audits the entries one after the other. Returns 0, or 3 when --check finds a broken rule. */
export async function audit(names: readonly string[], flags: FlagValues): Promise<ExitCode> {
  const cwd = process.cwd()
  const floorPath = resolve(cwd, text(flags, 'floor') ?? FLOOR_FILE)
  const checking = flags['check'] === true
  // Read first, so that an invalid file is reported before an audit of several minutes.
  const floor = checking || flags['update'] === true ? readFloorFile(floorPath, !checking) : undefined
  const base = readBase(text(flags, 'diff'))
  const wanted = names.length > 0 ? names : Object.keys(floor?.entries ?? {})
  if (wanted.length === 0)
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot audit: no entry is given and ${floorPath} has none. Pass an entry, or record one with --update.`,
    )

  const entries = await Promise.all(wanted.map((name) => findEntry(name, cwd)))
  const { signal, release } = interruptible()
  const results: AuditResult[] = []
  try {
    for (const entry of entries) {
      const ceiling = hasCeiling(floor?.entries[entry.name]?.budgets)
      results.push(await runAudit(optionsOf(entry, flags, { checking, ceiling, signal })))
    }
  } finally {
    release()
    if (process.stderr.isTTY) await printError('\r\x1b[K')
  }
  const verdicts = floor === undefined || !checking ? [] : judgeAll(results, entries, floor, cwd)
  if (floor !== undefined && flags['update'] === true) {
    writeFloorFile(
      floorPath,
      results.reduce((file, result, i) => updateFloor(file, entries[i]!.name, result), floor),
    )
    await printError(`byre: recorded ${wanted.join(', ')} in ${floorPath}\n`)
  }
  await writeFiles(results[0]!, flags)
  await report(results, verdicts, base === undefined ? [] : results.map((r) => diffResults(base, r)), flags)
  return verdicts.some((v) => v.findings.length > 0) ? EXIT.budget : EXIT.ok
}

function optionsOf(
  entry: Entry,
  flags: FlagValues,
  { checking, ceiling, signal }: { checking: boolean; ceiling: boolean; signal: AbortSignal },
): AuditOptions {
  const why = list(flags, 'why')
  const nodePath = text(flags, 'node')
  const number = (name: string): number | undefined => wholeNumber(flags, name, 0, 9999)
  const [runs, proofs] = [number('runs'), number('proofs')]
  return {
    entries: [entry],
    signal,
    // A check needs no proofs, and several plain runs only with a ceiling.
    runs: runs ?? (checking && !ceiling ? 1 : 5),
    proofs: proofs ?? (checking ? 0 : 10),
    // --update and --check use the same step, so that a package near the limit does not change sides between them.
    ...(checking || flags['update'] === true ? { thresholdBytes: GATE_THRESHOLD_BYTES } : {}),
    cut: [...list(flags, 'cut'), ...why],
    whatIf: flags['whatIf'] === undefined ? [] : [text(flags, 'whatIf')!],
    everywhere: flags['everywhere'] === true,
    until: untilOf(flags),
    env: {
      ...Object.fromEntries(list(flags, 'env').map(splitVariable)),
      ...(process.env['BYRE_EAGER'] === undefined ? {} : { BYRE_EAGER: process.env['BYRE_EAGER'] }),
    },
    ...(nodePath === undefined ? {} : { nodePath: resolve(nodePath) }),
    ...(flags['fresh'] === true ? { cacheFolder: false } : {}),
    onProgress: showProgress,
  }
}

/** Resolves a file, a worker of the config, a package, a bin, or `byre`. */
async function findEntry(name: string, cwd: string): Promise<Entry> {
  if (name === 'byre') return entryOfFile(name, fileURLToPath(ownFile('bin.js')))
  try {
    return resolveEntry(name, cwd)
  } catch (error) {
    const worker = await findWorker(name, cwd)
    if (worker === undefined) throw error
    return {
      ...entryOfFile(name, worker.path),
      how: 'import',
      worker: { name, configFile: worker.configFile },
    }
  }
}

/** Finds the module of a worker of the config in this folder. Returns undefined without a config or such a worker. */
async function findWorker(
  name: string,
  cwd: string,
): Promise<{ readonly path: string; readonly configFile: string } | undefined> {
  const { findConfig } = await import('../../config/find.ts')
  let file: string
  try {
    file = findConfig(undefined, cwd)
  } catch {
    return undefined
  }
  const { loadHerd } = await import('../../config/load.ts')
  const herd = await loadHerd({ file, cwd })
  const found = herd.workers.find((w) => w.name === name)
  return found === undefined ? undefined : { path: found.source.path, configFile: file }
}

function judgeAll(
  results: readonly AuditResult[],
  entries: readonly Entry[],
  floor: ReturnType<typeof readFloorFile>,
  cwd: string,
): Verdict[] {
  const exists = (packageName: string): boolean =>
    packageName.startsWith('node:') || packageExists(packageName, cwd)
  return results.map((result, i) => {
    const { name } = entries[i]!
    const block = floor.entries[name]
    const verdict = judgeFloor(result, name, block ?? emptyFloorEntry(), floor.heavyBytes, exists)
    return block === undefined
      ? { ...verdict, notes: [`${name} is not recorded yet; record it with --update`, ...verdict.notes] }
      : verdict
  })
}

async function report(
  results: readonly AuditResult[],
  verdicts: readonly Verdict[],
  diffs: readonly FloorDiff[],
  flags: FlagValues,
): Promise<void> {
  const checking = flags['check'] === true
  if (flags['json'] === true) {
    const value = {
      version: 1,
      results,
      ...(checking ? { verdicts } : {}),
      ...(diffs.length > 0 ? { diffs } : {}),
    }
    return print(`${JSON.stringify(value, undefined, 2)}\n`)
  }
  if (flags['markdown'] === true) return print(gateMarkdown(verdicts, results, diffs))
  const width = columns()
  const texts = checking
    ? [gateText(verdicts)]
    : results.map((r) => auditText(r, width === undefined ? {} : { width }))
  if (checking && process.env['GITHUB_ACTIONS'] === 'true') texts.push(gateAnnotations(verdicts))
  await print([...texts, ...diffs.map(diffText)].join('\n'))
}

async function writeFiles(result: AuditResult, flags: FlagValues): Promise<void> {
  const [speedscopePath, tracePath, htmlPath] = ['speedscope', 'trace', 'html'].map((name) =>
    text(flags, name),
  )
  if (speedscopePath !== undefined || tracePath !== undefined) {
    const { chromeTrace, speedscope } = await import('../../report/audit-profile.ts')
    if (speedscopePath !== undefined) writeFileSync(speedscopePath, speedscope(result))
    if (tracePath !== undefined) writeFileSync(tracePath, chromeTrace(result))
  }
  if (htmlPath !== undefined) {
    const { auditHtml } = await import('../../report/audit-html.ts')
    writeFileSync(htmlPath, auditHtml(result))
  }
}

/** Shows one line that is overwritten. Only on a terminal. */
function showProgress({ stage, done, total, leftMs }: AuditProgress): void {
  if (!process.stderr.isTTY) return
  const left = leftMs === undefined || done === total ? '' : `, ${Math.ceil(leftMs / 1000)} s left`
  process.stderr.write(`\r\x1b[K${stage}: ${done} of ${total}${left}`)
}

/** The first Ctrl-C or SIGTERM ends the audit with the results so far; the second one ends the process. */
function interruptible(): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController()
  const abort = (): void => {
    process.removeListener('SIGINT', abort).removeListener('SIGTERM', abort)
    controller.abort(
      new ByreError(
        'BYRE_AUDIT_INTERRUPTED',
        'Cannot finish the audit: it was interrupted before the first result. Run it again.',
      ),
    )
  }
  process.once('SIGINT', abort).once('SIGTERM', abort)
  return {
    signal: controller.signal,
    release: () => process.removeListener('SIGINT', abort).removeListener('SIGTERM', abort),
  }
}

function readBase(path: string | undefined): AuditResult | undefined {
  if (path === undefined) return undefined
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as { results?: AuditResult[] } & AuditResult
    const result = value.results?.[0] ?? value
    if (Array.isArray(result.packages) && result.version === 1) return result
  } catch (cause) {
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot compare with '${path}': it must be an output of byre audit --json (${(cause as Error).message}). Record it again.`,
      { cause },
    )
  }
  throw new ByreError(
    'BYRE_USAGE',
    `Cannot compare with '${path}': it must be an output of byre audit --json, got other JSON. Record it again.`,
  )
}

function hasCeiling(
  budgets: Readonly<Record<string, { readonly maxAnonBytes?: number }>> | undefined,
): boolean {
  return Object.values(budgets ?? {}).some((b) => b.maxAnonBytes !== undefined)
}

function untilOf(flags: FlagValues): NonNullable<AuditOptions['until']> {
  const value = text(flags, 'until') ?? 'loaded'
  if (value === 'loaded' || value === 'ready' || value === 'first-message') return value
  throw new ByreError(
    'BYRE_USAGE',
    `Cannot use --until: it must be loaded, ready or first-message, got '${value}'.`,
  )
}

function splitVariable(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw new ByreError('BYRE_USAGE', `Cannot use --env: it must be NAME=value, got '${text}'.`)
  return [text.slice(0, at), text.slice(at + 1)]
}
