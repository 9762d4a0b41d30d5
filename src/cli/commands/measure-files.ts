// The files of a measurement. One that cannot be written is said; the others, and the line on stdout, still are.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { MeasureResult } from '../../measure/result.ts'
import { text } from '../flag-values.ts'
import type { FlagValues } from '../flags.ts'
import type { MeasureRequest } from './measure-flags.ts'

/** What could not be written, in sentences. */
export async function writeMeasureFiles(
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
      renameSync(part, path) // the textfile collector and a waiting script never see half of it
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
