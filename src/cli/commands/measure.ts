// `byre measure`: measures commands, writes the result files and returns the exit code.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { EXIT, type ExitCode } from '../../base/exit-codes.ts'
import { ByreError } from '../../base/errors.ts'
import { addonWarning } from '../../measure/container.ts'
import { measure } from '../../measure/measure.ts'
import type { MeasureResult } from '../../measure/result.ts'
import { measureText } from '../../report/measure-text.ts'
import { text } from '../flag-values.ts'
import type { FlagValues } from '../flags.ts'
import { columns, print, printError } from '../io.ts'
import { readMeasureFlags } from './measure-flags.ts'
import type { MeasureRequest } from './measure-flags.ts'
import { createLiveView } from './measure-live.ts'

/** Returns 0 when every run exited with 0 and was verified, 1 when one did not, and 3 when the ceiling was exceeded. */
export async function measureCommand(lines: readonly string[], flags: FlagValues): Promise<ExitCode> {
  if (flags['matrix'] !== undefined && (lines.length > 0 || flags['--'] !== undefined))
    throw new ByreError(
      'BYRE_USAGE',
      'Cannot use --matrix with a command: the commands are in the matrix file. Omit the command.',
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

/** Writes the files of a measurement. A failed write does not prevent the others; the messages of all failures are
 *  returned. */
async function writeMeasureFiles(
  result: MeasureResult,
  request: Pick<MeasureRequest, 'outDir' | 'label'>,
  flags: FlagValues,
): Promise<string[]> {
  const problems: string[] = []
  const write = (path: string, content: () => string): void => {
    try {
      mkdirSync(dirname(path), { recursive: true })
      const part = `${path}.part`
      writeFileSync(part, content())
      renameSync(part, path) // Readers such as the textfile collector never see a partial file.
    } catch (error) {
      problems.push(`Cannot write ${path}: ${(error as Error).message}.`)
    }
  }
  write(
    join(request.outDir, `result-${request.label}.json`),
    () => `${JSON.stringify(result, undefined, 1)}\n`,
  )
  const html = text(flags, 'html')
  if (html !== undefined) {
    const { measureHtml } = await import('../../report/measure-html.ts')
    write(html, () => measureHtml(result))
  }
  const markdown = text(flags, 'markdown')
  if (markdown !== undefined) {
    const { measureMarkdown } = await import('../../report/measure-markdown.ts')
    write(markdown, () => measureMarkdown(result))
  }
  const prometheus = text(flags, 'prometheus')
  if (prometheus !== undefined) {
    const { measurePrometheus } = await import('../../report/measure-prometheus.ts')
    write(prometheus, () => measurePrometheus(result))
  }
  return problems
}

/** The result without the timelines, which are in the files. */
function forOneLine(result: MeasureResult): MeasureResult {
  return { ...result, runs: result.runs.map(({ timeline: _timeline, ...run }) => run) }
}

/** The first Ctrl-C or SIGTERM goes to the command, and the report is still written. The second one kills the process tree of
 *  the command. */
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
