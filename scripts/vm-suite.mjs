// Runs the test suites that need a real systemd, each in a new virtual machine, and prints their results. scripts/test-vm
// builds the machine image.
import { spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pack } from './vm-pack.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')
const SUITES = [
  'measure',
  'systemd/memory',
  'systemd/failures',
  'systemd/service-manager',
  'systemd/units',
  'systemd/templates',
  'systemd/swap',
  'systemd/swap-killed',
  'systemd/swap-hostile',
  'systemd/swap-interrupted',
  'reboot',
  'notify/notify-systemd',
  'log/journald-systemd',
  'log/supervise-systemd',
]
/** Approximate slowness factor of an emulated machine. All deadlines of the tests are multiplied by it. */
const SLOWNESS = Number(process.env.BYRE_TEST_SLOWNESS ?? 8)
const SECONDS = Number(process.env.BYRE_VM_SECONDS ?? 1800)
const HELLO = 'systemctl --version | head -1; uname -r; node --version;'
/** The number of stages in vm-reboot-job.sh. */
const REBOOT_STAGES = 6
/** Console lines that are shown for a machine that ended unexpectedly. */
const CONSOLE_LINES = 60
/** The exit code of vm-run -k for a machine that was reset. */
const RESET = 75

const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith('--'))
const unknown = wanted.filter((name) => !SUITES.includes(name))
if (unknown.length > 0)
  throw new Error(`Cannot run ${unknown.join(', ')}: the suites are ${SUITES.join(', ')}.`)

const job = mkdtempSync(join(tmpdir(), 'byre-vm-'))
chmodSync(job, 0o755) // Units run as unprivileged users.
process.once('exit', () => rmSync(job, { recursive: true, force: true }))
pack(job)
for (const name of ['measure', 'reboot'])
  copyFileSync(`${ROOT}/scripts/vm-${name}-job.sh`, join(job, `${name}.sh`))

const results = []
for (const suite of wanted.length > 0 ? wanted : SUITES) {
  const result = await runSuite(suite)
  results.push(result)
  const { passed, failed, skipped, seconds } = result
  process.stdout.write(`${suite}: ${passed} passed, ${failed} failed, ${skipped} skipped (${seconds} s)\n`)
}
const sum = (key) => results.reduce((total, result) => total + result[key], 0)
process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped\n`)
if (process.argv.includes('--save')) save()
process.exitCode = sum('failed') === 0 ? 0 : 1

/** Replaces the saved results of the suites that ran and keeps those of the others. */
function save() {
  const path = `${ROOT}/docs/perf/vm.json`
  const before = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).suites : []
  const ran = results.map(({ systemd, kernel, node, ...result }) => ({ ...result, systemd, kernel, node }))
  const kept = before.filter(({ suite }) => !ran.some((result) => result.suite === suite))
  const suites = [...kept, ...ran].toSorted((a, b) => SUITES.indexOf(a.suite) - SUITES.indexOf(b.suite))
  writeFileSync(path, `${JSON.stringify({ version: 1, name: 'vm', cgroup: 2, suites }, undefined, 2)}\n`)
}

async function runSuite(suite) {
  const since = Date.now()
  const { code, lines } = suite === 'reboot' ? await runReboots() : await runMachine(commandOf(suite))
  const [systemd, kernel, node, ...rest] = lines
  const counts = suite.includes('/') ? countTap(rest) : countChecks(rest)
  // A machine that ended early has failed, whatever results it has printed.
  if (code !== 0 && counts.failed === 0) counts.failed = 1
  if (counts.failed > 0) process.stdout.write(`${lines.join('\n')}\n`)
  for (const fact of counts.facts) process.stdout.write(`  ${fact}\n`)
  return { suite, systemd, kernel, node, ...counts, seconds: Math.round((Date.now() - since) / 1000) }
}

function commandOf(suite) {
  if (suite === 'measure') return `${HELLO} bash /job/measure.sh`
  return `${HELLO} BYRE_TEST_SYSTEMD=own BYRE_TEST_SLOWNESS=${SLOWNESS} TAP_TIMEOUT=${SECONDS} node build/test/${suite}.test.js`
}

/** Boots one disk several times: each stage except the last ends with a reset. */
async function runReboots() {
  const disk = join(job, '..', `${basename(job)}.disk`)
  const out = mkdtempSync(join(tmpdir(), 'byre-vm-out-'))
  process.once('exit', () => {
    rmSync(disk, { force: true })
    rmSync(out, { recursive: true, force: true })
  })
  const lines = []
  for (let stage = 1; stage <= REBOOT_STAGES; stage++) {
    const command = `${stage === 1 ? HELLO : ''} bash /job/reboot.sh ${stage}`
    const { code, lines: output } = await runMachine(command, ['-k', disk, '-o', out])
    lines.push(...output)
    const expected = stage === REBOOT_STAGES ? 0 : RESET
    if (code === expected) continue
    const console = readFileSync(join(out, 'console.txt'), 'utf8').replaceAll('\r', '').trimEnd()
    const last = console.split('\n').slice(-CONSOLE_LINES)
    return { code: code || 1, lines: [...lines, `stage ${stage} ended with ${code}; its console:`, ...last] }
  }
  return { code: 0, lines }
}

function runMachine(command, options = []) {
  return new Promise((resolve, reject) => {
    const args = [...options, '-t', String(SECONDS), job, command]
    const child = spawn(`${ROOT}/scripts/vm-run`, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.setEncoding('utf8')
    child.stdout.on('data', (chunk) => (text += chunk))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, lines: text.replaceAll('\r', '').trimEnd().split('\n') }))
  })
}

/** Counts the leaf assertions of TAP output and collects the figures in comments `fact: ...`. */
function countTap(lines) {
  const counts = { passed: 0, failed: 0, skipped: 0, facts: [] }
  for (const line of lines) {
    const fact = /^\s*# fact: (.*)$/.exec(line)
    if (fact !== null) counts.facts.push(fact[1])
    const match = /^\s*(not ok|ok) \d+(?: - (.*))?$/.exec(line)
    if (match === null) continue
    const [, verdict, name = ''] = match
    if (/# (SKIP|TODO)/i.test(name)) counts.skipped++
    else if (/# time=/.test(name)) continue
    else counts[verdict === 'ok' ? 'passed' : 'failed']++
  }
  return counts
}

/** Counts checks, one per line. */
function countChecks(lines) {
  const facts = lines.filter((line) => /^(ok|FAILED) /.test(line))
  const failed = facts.filter((line) => line.startsWith('FAILED')).length
  return {
    passed: facts.length - failed,
    failed,
    skipped: 0,
    facts: facts.map((line) => line.replace(/^\S+ +/, '')),
  }
}
