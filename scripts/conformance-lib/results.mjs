// From the results of files to rates: what is printed and what is saved. Pure.
import { familyOf } from './selection.mjs'
import { evidenceOf } from './verdict.mjs'

const EVIDENCE_CHARS = 200

/** Figures of one placement. `results`: map file -> result. */
export function summarize(results, { seconds, root }) {
  const counted = [...results].filter(([, result]) => !result.dropped)
  const families = {}
  const failures = {}
  for (const [file, result] of counted.toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const family = (families[familyOf(file)] ??= { passed: 0, of: 0 })
    family.of++
    if (result.ok) family.passed++
    else failures[file] = { verdict: result.verdict, evidence: shorten(evidenceOf(result), root) }
  }
  const passed = counted.length - Object.keys(failures).length
  return {
    passed,
    of: counted.length,
    rate: rateOf(passed, counted.length),
    dropped: results.size - counted.length,
    seconds,
    families,
    failures,
  }
}

export const rateOf = (passed, of) => (of === 0 ? 0 : Number((passed / of).toFixed(4)))

// One line, without what differs from run to run: folders, ids.
function shorten(text, root) {
  return String(text)
    .replaceAll(`${root}/`, '')
    .replace(/\/\S*\/byre-conformance-\w+/g, '<folder>')
    .replace(/\bt\d+:? /g, '')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, EVIDENCE_CHARS)
}

/** `process: 57 of 60 (95.0 %)`, with what was dropped. */
export function rateLine(placement, { passed, of, rate, dropped }) {
  const note = dropped > 0 ? `; ${dropped} more skip themselves, or fail plainly here as well` : ''
  return `${placement}: ${passed} of ${of} (${(rate * 100).toFixed(1)} %)${note}`
}

/** Families that are not whole, the worst first. */
export function familyLines({ families }) {
  return Object.entries(families)
    .filter(([, { passed, of }]) => passed < of)
    .toSorted(([, a], [, b]) => b.of - b.passed - (a.of - a.passed))
    .map(([name, { passed, of }]) => `  ${name.padEnd(18)} ${String(passed).padStart(4)} of ${of}`)
}
