// Runs tap over the compiled tests, shows failing assertions and one line per file, and ends its output with one
// line `N passed, N failed`.
import { spawn } from 'node:child_process'

const tap = spawn('npx', ['tap', '--reporter=tap', '--jobs=2', ...process.argv.slice(2)], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
const counts = { passed: 0, failed: 0, skipped: 0 }
let rest = ''
let inFailure = false

/** Counts leaf assertions: a subtest's own summary line carries `# time=` and is not one. */
function count(failed, comment) {
  if (/# (SKIP|TODO)/i.test(comment)) counts.skipped++
  else if (/# time=/.test(comment)) return
  else if (failed) counts.failed++
  else counts.passed++
}

function show(line) {
  const match = /^(\s*)(not ok|ok) \d+(.*)$/.exec(line)
  if (match !== null) {
    count(match[2] === 'not ok', match[3])
    inFailure = match[2] === 'not ok'
  } else if (/^\s*# Subtest/.test(line)) inFailure = false
  if (inFailure || (match !== null && match[1] === '')) process.stdout.write(`${line}\n`)
}

tap.stdout.setEncoding('utf8')
tap.stdout.on('data', (chunk) => {
  const lines = (rest + chunk).split('\n')
  rest = lines.pop()
  lines.forEach(show)
})
tap.on('close', (code) => {
  if (code !== 0 && counts.failed === 0) counts.failed = 1
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
  process.stdout.write(`${counts.passed} passed, ${counts.failed} failed${skipped}\n`)
  process.exitCode = code ?? 1
})
