// `byre compare`: compares two result files of byre measure.

import { readFileSync } from 'node:fs'
import { isRecord } from '../../base/check.ts'
import { ByreError } from '../../base/errors.ts'
import { EXIT, type ExitCode } from '../../base/exit-codes.ts'
import { compare } from '../../measure/compare.ts'
import type { MeasureResult } from '../../measure/result.ts'
import { compareText } from '../../report/compare-text.ts'
import type { FlagValues } from '../flags.ts'
import { columns, print } from '../io.ts'

/** Returns 0, or 3 with `--fail-on worse` when a metric is worse. */
export async function compareCommand(files: readonly string[], flags: FlagValues): Promise<ExitCode> {
  const comparison = compare(readResult(files[0]!), readResult(files[1]!))
  if (flags['json'] === true) await print(`${JSON.stringify(comparison, undefined, 2)}\n`)
  else await print(compareText(comparison, columns()))
  const isWorse = comparison.rows.some((row) => row.verdict === 'worse')
  return flags['failOn'] === 'worse' && isWorse ? EXIT.budget : EXIT.ok
}

function readResult(path: string): MeasureResult {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot compare '${path}': it must be a result of byre measure (${(cause as Error).message}). Pass a result-LABEL.json.`,
      { cause },
    )
  }
  if (isRecord(value) && value['kind'] === 'byre-measure' && value['version'] === 1)
    return value as unknown as MeasureResult
  throw new ByreError(
    'BYRE_USAGE',
    `Cannot compare '${path}': it must be a result of byre measure with version 1, got other JSON. Pass a result-LABEL.json.`,
  )
}
