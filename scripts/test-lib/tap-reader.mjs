// Reads the TAP output of a test file: counts its assertions and keeps the text of those that failed.

/** Returns { counts: { passed, failed, skipped }, failures }. Pure. */
export function readTap(text) {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  let failures = ''
  let inFailure = false
  for (const line of text.split('\n')) {
    const match = /^\s*(not ok|ok) \d+(.*)$/.exec(line)
    if (match !== null) {
      inFailure = match[1] === 'not ok'
      count(counts, inFailure, match[2])
    } else if (/^\s*# Subtest/.test(line)) inFailure = false
    if (inFailure) failures += `${line}\n`
  }
  return { counts, failures }
}

/** Counts assertions only: the summary line of a subtest carries `# time=`. */
function count(counts, failed, comment) {
  if (/# (SKIP|TODO)/i.test(comment)) counts.skipped++
  else if (/# time=/.test(comment)) return
  else if (failed) counts.failed++
  else counts.passed++
}
