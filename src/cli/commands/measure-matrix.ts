// `byre measure --matrix FILE`: interleaved runs in rounds, until each variant is decided or has used its retries.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EXIT, type ExitCode } from '../../base/exit-codes.ts'
import { ByreError } from '../../base/errors.ts'
import type { Matrix, Variant } from '../../measure/matrix.ts'
import { judgeMatrix, parseMatrix, undecided } from '../../measure/matrix.ts'
import type { Lane, MeasureEvent } from '../../measure/measure.ts'
import { measure } from '../../measure/measure.ts'
import type { MeasureResult } from '../../measure/result.ts'
import { summarize } from '../../measure/stats.ts'
import { matrixMarkdown } from '../../report/matrix-markdown.ts'
import { print, printError } from '../io.ts'
import type { MeasureRequest } from './measure-flags.ts'

export interface MatrixRun {
  readonly file: string
  readonly request: Omit<MeasureRequest, 'lanes'>
  readonly signals: { readonly interrupt: AbortSignal; readonly kill: AbortSignal }
  readonly onEvent: (event: MeasureEvent) => void
  readonly jsonOnly: boolean
}

/** Returns 0 when all runs of the baseline succeeded, and 1 when one failed or there was none. */
export async function measureMatrix({
  file,
  request,
  signals,
  onEvent,
  jsonOnly,
}: MatrixRun): Promise<ExitCode> {
  const matrix = parseMatrix(readJson(file), file)
  const results: MeasureResult[] = []
  let names = matrix.variants.map((variant) => variant.name)
  while (names.length > 0 && !signals.interrupt.aborted) {
    const lanes = [matrix.baseline, ...matrix.variants.filter((one) => names.includes(one.name))].map(toLane)
    const round = {
      ...request,
      lanes,
      runs: matrix.runs,
      verify: { ...request.verify, paths: [...request.verify.paths, ...matrix.verify] },
    }
    results.push(await measure({ ...round, ...signals, onEvent }))
    names = undecided(matrix, results)
  }
  return report(matrix, results, request, jsonOnly)
}

async function report(
  matrix: Matrix,
  results: readonly MeasureResult[],
  request: Pick<MeasureRequest, 'outDir' | 'label'>,
  jsonOnly: boolean,
): Promise<ExitCode> {
  const judged = judgeMatrix(matrix, results)
  const base = results.flatMap((result) => result.runs.filter((run) => run.lane === matrix.baseline.name))
  const values = base.filter((run) => run.ok).flatMap((run) => run.metrics[matrix.metric] ?? [])
  const markdown = matrixMarkdown(matrix, judged, values.length === 0 ? undefined : summarize(values))
  const files = {
    [`matrix-${request.label}.md`]: markdown,
    [`matrix-${request.label}.json`]: JSON.stringify({ version: 1, kind: 'byre-matrix', judged, results }),
  }
  for (const [name, text] of Object.entries(files)) {
    try {
      writeFileSync(join(request.outDir, name), text)
    } catch (error) {
      await printError(`byre: Cannot write ${name}: ${(error as Error).message}.\n`)
    }
  }
  if (!jsonOnly) await print(`\n${markdown}`)
  await print(
    `[BYRE-MEASURE RESULT] ${JSON.stringify({ version: 1, kind: 'byre-matrix', metric: matrix.metric, judged })}\n`,
  )
  return values.length === base.length && base.length > 0 ? EXIT.ok : EXIT.failed
}

function toLane({ name, command, env }: Variant): Lane {
  return { name, command: ['/bin/sh', '-c', command], env }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot use --matrix: '${file}' must be a JSON file (${(cause as Error).message}).`,
      { cause },
    )
  }
}
