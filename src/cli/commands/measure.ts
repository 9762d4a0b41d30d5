// `byre measure`: from the command line to a measurement, its files and its exit code.

import { basename } from 'node:path'
import { EXIT, type ExitCode } from '../../base/exit-codes.ts'
import { ByreError } from '../../base/errors.ts'
import { addonWarning } from '../../measure/container.ts'
import { measure } from '../../measure/measure.ts'
import type { MeasureResult } from '../../measure/result.ts'
import { measureText } from '../../report/measure-text.ts'
import type { FlagValues } from '../flags.ts'
import { columns, print, printError } from '../io.ts'
import { readMeasureFlags } from './measure-flags.ts'
import { writeMeasureFiles } from './measure-files.ts'
import { createLiveView } from './measure-live.ts'

/** 0 when every run exited 0 and verified, 1 when one did not, 3 when the ceiling was broken. */
export async function measureCommand(lines: readonly string[], flags: FlagValues): Promise<ExitCode> {
  if (flags['matrix'] !== undefined && (lines.length > 0 || flags['--'] !== undefined))
    throw new ByreError(
      'BYRE_USAGE',
      'Cannot measure: --matrix names its commands in its file, give no other.',
    )
  const request = readMeasureFlags(lines, flags, process.cwd())
  const { container } = request
  const warning = container && addonWarning(request.cwd, container.image)
  if (warning !== undefined) await printError(`byre: warning: ${warning}\n`)
  const jsonOnly = flags['jsonOnly'] === true
  const live = createLiveView({
    isTerminal: process.stderr.isTTY && !jsonOnly,
    showOutput:
      !jsonOnly &&
      flags['quiet'] !== true &&
      flags['matrix'] === undefined &&
      request.lanes.length * request.runs === 1,
  })
  const stop = interruptible()
  const matrix = flags['matrix']
  if (typeof matrix === 'string') {
    const { measureMatrix } = await import('./measure-matrix.ts')
    const { onEvent } = live
    try {
      return await measureMatrix({ file: matrix, request, signals: stop.signals, onEvent, jsonOnly })
    } finally {
      stop.release()
    }
  }
  let result: MeasureResult
  try {
    result = await measure({ ...request, ...stop.signals, onEvent: live.onEvent })
  } finally {
    stop.release()
    live.clear()
  }
  const problems = await writeMeasureFiles(result, request, flags)
  for (const problem of problems) await printError(`byre: ${problem}\n`)
  if (!jsonOnly) await print(`\n${measureText(result, columns())}`)
  if (!jsonOnly && request.logPath !== undefined)
    await print(
      `  files: ${basename(request.logPath)}, result-${request.label}.json, timeline-${request.label}.csv in ${request.outDir}\n`,
    )
  await print(`[BYRE-MEASURE RESULT] ${JSON.stringify(forOneLine(result))}\n`)
  if (result.ceiling !== undefined && result.ceiling.broken.length > 0) return EXIT.budget
  return result.ok && problems.length === 0 ? EXIT.ok : EXIT.failed
}

/** Everything but the timelines, which are in the files. */
function forOneLine(result: MeasureResult): MeasureResult {
  return { ...result, runs: result.runs.map(({ timeline: _timeline, ...run }) => run) }
}

/** The first Ctrl-C or SIGTERM goes to the command, and the report is still written; the second kills its whole tree. */
function interruptible(): {
  readonly signals: { readonly interrupt: AbortSignal; readonly kill: AbortSignal }
  readonly release: () => void
} {
  const interrupt = new AbortController()
  const kill = new AbortController()
  const onSignal = (): void => (interrupt.signal.aborted ? kill : interrupt).abort()
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return {
    signals: { interrupt: interrupt.signal, kill: kill.signal },
    release() {
      process.removeListener('SIGINT', onSignal)
      process.removeListener('SIGTERM', onSignal)
    },
  }
}
