// From what was seen of one hosted file to its result. Pure.

/** Warnings that docs/shared-fate.md and docs/stalls.md promise for what a file did; no fault of hosting. */
const EXPECTED_EVENTS = new Set([
  'process-touched',
  'leftovers',
  'stall',
  'stall-over',
  'stall-confirmed',
  'output-held-back',
  'sampler-stopped',
])
/** Events that are facts and not warnings; `exit` becomes the verdict. */
const FACTS = new Set(['transition', 'control', 'exit'])
const WARN_LEVEL = 40
const ENDED = new Set(['dormant', 'quarantined', 'stopped'])
const OUTPUT_CHARS = 2500
const EVENT_CHARS = 300

/** What is gathered about one file while it is hosted. */
export const newRecord = () => ({ output: '', warnings: [], touched: [], neighbour: [], ended: false })

/** Whether a line of byre's log says that a run has ended. */
export const endsRun = (line) => line.event === 'transition' && ENDED.has(line.to)

/** Takes one line of byre's JSON log about the worker into the record. */
export function noteLine(record, line) {
  if (line.stream) record.output = `${record.output}${line.msg}\n`.slice(-OUTPUT_CHARS)
  else if (line.event === 'exit')
    Object.assign(record, { verdict: line.verdict, why: line.msg, evidence: line.evidence })
  else if (line.event === 'process-touched') record.touched.push(line.kind)
  else if (endsRun(line)) {
    record.ended = true
    record.verdict ??= 'done'
  } else if (
    line.event &&
    line.level >= WARN_LEVEL &&
    !FACTS.has(line.event) &&
    !EXPECTED_EVENTS.has(line.event)
  )
    record.warnings.push(`${line.event}: ${line.msg}`.slice(0, EVENT_CHARS))
}

/** The result: a file passes when its run is `done` and byre had no warning about it, nor the neighbour a complaint. */
export function judge(record) {
  const ok = record.verdict === 'done' && record.warnings.length === 0 && record.neighbour.length === 0
  const touched = record.touched.length > 0 ? { touched: record.touched } : {}
  if (ok) return { ok, verdict: 'done', ...touched }
  const { verdict = 'unknown', why, evidence, warnings, neighbour, output } = record
  const disturbed = verdict === 'done' && neighbour.length > 0
  return {
    ok,
    verdict: disturbed ? 'neighbour' : verdict,
    why,
    evidence,
    warnings,
    neighbour,
    output,
    ...touched,
  }
}

/** One line that says why a result is a failure. */
export function evidenceOf(result) {
  const { verdict, why, warnings = [], neighbour = [], output = '' } = result
  if (verdict === 'neighbour') return neighbour[0]
  if (verdict === 'done') return warnings[0] ?? ''
  const error = /^.*?((?:\w*Error|AssertionError)\b.*)$/m.exec(output)?.[1]
  return [why, error].filter((text) => text !== undefined && text !== '').join('; ')
}
