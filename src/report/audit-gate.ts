// The verdicts of the gate as text, as GitHub annotations and as a pull request comment.

import { formatMegabytes } from '../base/bytes.ts'
import type { FloorDiff } from '../audit/diff.ts'
import { describeFinding, type Verdict } from '../audit/gate.ts'
import type { AuditResult } from '../audit/result.ts'

/** The verdict of each entry, followed by one line per finding and note. */
export function gateText(verdicts: readonly Verdict[]): string {
  const lines = verdicts.flatMap((v) => [
    `${v.entry} on Node ${v.nodeMajor}: ${v.findings.length === 0 ? 'floor kept' : `${v.findings.length} finding${v.findings.length === 1 ? '' : 's'}`}`,
    ...v.findings.map((f) => `  ${f.rule}: ${describeFinding(f)}`),
    ...v.notes.map((n) => `  note: ${n}`),
  ])
  return `${lines.join('\n')}\n`
}

/** GitHub workflow commands that annotate the code: the file of the first import of the chain, when known. */
export function gateAnnotations(verdicts: readonly Verdict[]): string {
  const lines = verdicts.flatMap((v) =>
    v.findings.map((f) => {
      const at = 'chain' in f ? f.chain.find((s) => s.line !== undefined) : undefined
      const place = at === undefined ? '' : ` file=${property(at.label)},line=${at.line}`
      return `::error${place === '' ? ' ' : `${place},`}title=${property(`byre audit: ${f.rule}`)}::${data(`${v.entry}: ${describeFinding(f)}`)}`
    }),
  )
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`
}

/** A comment in Markdown: verdict, figures, and the packages that changed. */
export function gateMarkdown(
  verdicts: readonly Verdict[],
  results: readonly AuditResult[],
  diffs: readonly (FloorDiff | undefined)[],
): string {
  const broken = verdicts.some((v) => v.findings.length > 0)
  const lines = [
    `### Import floor: ${broken ? 'a rule is broken' : 'kept'}`,
    '',
    '| entry | node | floor | private memory | named |',
    '|---|---|---|---|---|',
  ]
  for (const r of results) {
    const names = r.entries.map((e) => cell(e.name)).join(', ')
    lines.push(
      `| ${names} | ${r.nodeVersion} | ${formatMegabytes(r.floor.calibratedBytes.medianBytes)} | ${formatMegabytes(r.floor.plain.anonBytes.medianBytes)} | ${(r.parts.namedShare * 100).toFixed(1)} % |`,
    )
  }
  for (const v of verdicts) {
    if (v.findings.length + v.notes.length > 0) lines.push('', `**${cell(v.entry)}**`)
    for (const f of v.findings) lines.push(`- ${f.rule}: ${cell(describeFinding(f))}`)
    for (const n of v.notes) lines.push(`- note: ${cell(n)}`)
  }
  for (const diff of diffs)
    for (const p of diff?.packages.slice(0, 10) ?? [])
      lines.push(
        `- ${p.change} ${cell(p.name)}: ${formatMegabytes(p.selfBytesBefore)} to ${formatMegabytes(p.selfBytesAfter)}`,
      )
  return `${lines.join('\n')}\n`
}

export function diffText(diff: FloorDiff): string {
  const { before, after } = diff.calibratedBytes
  const lines = [
    `floor ${formatMegabytes(before)} to ${formatMegabytes(after)} (${formatMegabytes(after - before)}), ${diff.modulesAdded} modules more, ${diff.modulesRemoved} fewer`,
    ...diff.packages.map(
      (p) =>
        `  ${p.change.padEnd(8)} ${p.name}  ${formatMegabytes(p.selfBytesBefore)} to ${formatMegabytes(p.selfBytesAfter)}`,
    ),
  ]
  return `${lines.join('\n')}\n`
}

function cell(text: string): string {
  return text.replace(/[|\\<>`*_]/g, '\\$&').replace(/\s+/g, ' ')
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
}
