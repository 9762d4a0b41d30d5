// Runs tap over the compiled tests, then a sample of Node's own tests as a gate (docs/conformance.md), which a call that
// names tests leaves out. Shows failing assertions and one line per file, and ends its output with one line
// `N passed, N failed`.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const GATE = fileURLToPath(new URL('conformance.mjs', import.meta.url))
const named = process.argv.slice(2)
const counts = { passed: 0, failed: 0, skipped: 0 }

/** Counts leaf assertions: a subtest's own summary line carries `# time=` and is not one. */
function count(failed, comment) {
  if (/# (SKIP|TODO)/i.test(comment)) counts.skipped++
  else if (/# time=/.test(comment)) return
  else if (failed) counts.failed++
  else counts.passed++
}

let inFailure = false

function show(line) {
  const match = /^(\s*)(not ok|ok) \d+(.*)$/.exec(line)
  if (match !== null) {
    count(match[2] === 'not ok', match[3])
    inFailure = match[2] === 'not ok'
  } else if (/^\s*# Subtest/.test(line)) inFailure = false
  if (inFailure || (match !== null && match[1] === '')) process.stdout.write(`${line}\n`)
}

/** Runs a command that prints TAP; resolves with its exit code. A failure it did not report as a test is one. */
async function runTap(command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const failedBefore = counts.failed
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()
    lines.forEach(show)
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0 && counts.failed === failedBefore) counts.failed++
  return code ?? 1
}

const codes = [await runTap('npx', ['tap', '--reporter=tap', '--jobs=2', ...named])]
if (named.length === 0) codes.push(await runTap(process.execPath, [GATE, 'gate']))
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed${skipped}\n`)
process.exitCode = codes.find((code) => code !== 0) ?? 0
