// One assertion for test runners: the packages an entry loads and its memory.

import { parseBytes } from '../base/bytes.ts'
import { ByreError } from '../base/errors.ts'
import { chainText } from './chain.ts'
import type { AuditResult } from './result.ts'

export interface ImportFloorOptions {
  /** Maximum that the entry may add to an empty program, calibrated: '12MiB' or a number of bytes. @default unlimited */
  readonly max?: string | number
  /** Packages that must not be loaded. @default [] */
  readonly deny?: readonly string[]
  /** The only heavy packages that may be loaded. @default all */
  readonly allow?: readonly string[]
  /** A package that retains at least this much is heavy. @default '1MiB' */
  readonly heavy?: string | number
  /** Base folder of relative paths. @default process.cwd() */
  readonly cwd?: string
  /** @default process.execPath */
  readonly nodePath?: string
  /** See AuditOptions. */
  readonly cacheFolder?: string | false
}

export interface ImportFloor {
  /** The broken rules, as sentences; empty when there are none. */
  readonly problems: readonly string[]
  readonly result: AuditResult
}

/** Audits `entry` (a file, a package or a bin) and checks the result. Throws BYRE_ARGUMENT_INVALID for an invalid
 *  size. */
export async function measureImportFloor(
  entry: string,
  options: ImportFloorOptions = {},
): Promise<ImportFloor> {
  const [max, heavyBytes] = [sizeOf('max', options.max), sizeOf('heavy', options.heavy ?? '1MiB')]
  const [{ audit }, { resolveEntry }, { judgeFloor }, { emptyFloorEntry }] = await Promise.all([
    import('./audit.ts'),
    import('./entry.ts'),
    import('./gate.ts'),
    import('./floor-file.ts'),
  ])
  const cwd = options.cwd ?? process.cwd()
  const result = await audit({
    entries: [resolveEntry(entry, cwd)],
    cwd,
    runs: 1,
    proofs: 0,
    ...(options.nodePath === undefined ? {} : { nodePath: options.nodePath }),
    ...(options.cacheFolder === undefined ? {} : { cacheFolder: options.cacheFolder }),
  })
  const { allow, deny = [] } = options
  const lists = {
    ...emptyFloorEntry(),
    may: allow ?? result.packages.map((p) => p.name),
    deny,
  }
  const { findings } = judgeFloor(result, entry, lists, heavyBytes!, () => true)
  const problems = findings.map((f) =>
    'chain' in f ? `${f.packageName} is loaded: ${chainText(f.chain)}` : f.rule,
  )
  const { medianBytes } = result.floor.calibratedBytes
  if (max !== undefined && medianBytes > max)
    problems.push(`the floor is ${medianBytes} bytes, above the maximum of ${max}`)
  return { problems, result }
}

/** The same for any test runner (node:test, vitest): rejects with BYRE_AUDIT_FLOOR and all problems, else resolves
 *  with the result. */
export async function importFloor(entry: string, options: ImportFloorOptions = {}): Promise<AuditResult> {
  const { problems, result } = await measureImportFloor(entry, options)
  if (problems.length === 0) return result
  throw new ByreError(
    'BYRE_AUDIT_FLOOR',
    `Cannot accept the import floor of '${entry}': ${problems.length} rule${problems.length === 1 ? ' is' : 's are'} broken:\n  ${problems.join('\n  ')}\nSee the details with byre audit ${entry}.`,
    { details: { problems } },
  )
}

function sizeOf(name: string, value: string | number | undefined): number | undefined {
  if (value === undefined) return undefined
  const bytes = typeof value === 'number' ? value : parseBytes(value)
  if (bytes !== undefined && Number.isFinite(bytes) && bytes >= 0) return bytes
  throw new ByreError(
    'BYRE_ARGUMENT_INVALID',
    `Cannot use '${name}': it must be a size such as '12MiB' or a number of bytes, got ${JSON.stringify(value)}.`,
  )
}
