// Compiles what changed and runs tests, several files at a time. Without a file or folder: every test.
//   npm test -- test/herd/state.test.ts test/bus
//   --jobs=N     files that run at the same time (default: two per CPU)
//   --compiled   runs what is compiled already
//   --gate       runs a sample of Node's own tests as well (docs/conformance.md); ignored when files are named
// Prints one line per file and the failing assertions, and ends with the line `N passed, N failed`.
import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { compiledPath, findTests } from './test-lib/files.mjs'
import { readTap } from './test-lib/tap-reader.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const GATE = 'scripts/conformance.mjs'
/** How long each file took last time, ms by path. The longest files start first, so that none runs alone at the end. */
const DURATIONS = join(ROOT, 'build/durations.json')
/** Largest duration of one test, then of one file, s. Far above what a test needs on a loaded machine. */
const TEST_TIMEOUT_S = 300
const FILE_TIMEOUT_S = 600
const GATE_TIMEOUT_S = 900
/** How long a file that got SIGTERM may take to report what it waited for, s. */
const KILL_AFTER_S = 10

const running = new Set()

/**
 * Runs a command in a process group of its own; resolves with its exit code and output when it has ended, and ends what it
 * left in its group. The output goes to files: a pipe stays open for as long as any process that inherited it lives.
 */
function run(command, args, { timeoutS, ...options } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-test-output-'))
  const paths = { stdout: join(folder, 'stdout'), stderr: join(folder, 'stderr') }
  const files = Object.values(paths).map((path) => openSync(path, 'a'))
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      stdio: ['ignore', ...files],
      detached: true,
      ...options,
    })
    files.forEach((file) => closeSync(file))
    const timers =
      timeoutS === undefined
        ? []
        : [
            setTimeout(() => child.kill('SIGTERM'), timeoutS * 1000),
            setTimeout(() => killGroup(child, 'SIGKILL'), (timeoutS + KILL_AFTER_S) * 1000),
          ]
    running.add(child)
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      timers.forEach(clearTimeout)
      running.delete(child)
      killGroup(child, 'SIGKILL')
      const [stdout, stderr] = Object.values(paths).map((path) => readFileSync(path, 'utf8'))
      resolve({ code, signal, stdout, stderr })
    })
  }).finally(() => rmSync(folder, { recursive: true, force: true }))
}

function killGroup(child, signal) {
  try {
    process.kill(-child.pid, signal)
  } catch {
    // The group has ended.
  }
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
])
  process.once(signal, () => {
    for (const child of running) killGroup(child, 'SIGKILL')
    process.exit(code)
  })

/** The tests and sources into build/, the package into dist/, which has declarations of build/. */
const COMPILERS = [['node_modules/.bin/tsc', '-p', 'test/tsconfig.json'], ['scripts/bundle.mjs']]

/** Compiles what changed. Returns the errors of the compiler that failed. */
async function compile() {
  for (const args of COMPILERS) {
    const { code, stdout, stderr } = await run(process.execPath, args)
    if (code !== 0) return stdout + stderr
  }
  return ''
}

function readDurations() {
  try {
    return JSON.parse(readFileSync(DURATIONS, 'utf8'))
  } catch {
    return {}
  }
}

/** One line about a file, and its failures. */
function report(name, { code, signal, stderr }, { failures, counts }, durationMs) {
  const seconds = (durationMs / 1000).toFixed(1)
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
  const ok = counts.failed === 0
  process.stdout.write(
    `${ok ? 'ok' : 'not ok'} - ${name} (${counts.passed} passed${skipped}, ${seconds} s)\n`,
  )
  if (ok) return
  process.stdout.write(failures)
  if (code !== 0) process.stdout.write(`${name}: ended with ${signal ?? `exit code ${code}`}\n`)
  process.stdout.write(stderr)
}

/** Runs one command that prints TAP. A failure it did not print as a test counts as one, and so does no test at all. */
async function runTap(name, command, args, options) {
  const startedAt = performance.now()
  const result = await run(command, args, options)
  const tap = readTap(result.stdout)
  const { counts } = tap
  if (counts.failed === 0 && (result.code !== 0 || counts.passed + counts.skipped === 0)) {
    counts.failed = 1
    tap.failures += result.stdout.slice(-2000)
  }
  const durationMs = Math.round(performance.now() - startedAt)
  report(name, result, tap, durationMs)
  return { name, counts, durationMs }
}

const runFile = (file) =>
  runTap(file, process.execPath, ['--enable-source-maps', compiledPath(file)], {
    timeoutS: FILE_TIMEOUT_S,
    env: { ...process.env, TAP: '1', TAP_TIMEOUT: String(TEST_TIMEOUT_S) },
  })

/** Runs all files, `jobs` at a time. */
async function runFiles(files, jobs) {
  const durations = readDurations()
  const longest = (file) => durations[file] ?? Number.POSITIVE_INFINITY
  const queue = files.toSorted((a, b) => (longest(a) === longest(b) ? 0 : longest(b) - longest(a)))
  const results = []
  const work = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) results.push(await runFile(file))
  }
  await Promise.all(Array.from({ length: jobs }, work))
  for (const { name, durationMs } of results) durations[name] = durationMs
  writeFileSync(DURATIONS, `${JSON.stringify(durations, undefined, 2)}\n`)
  return results
}

function readOptions(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { jobs: { type: 'string' }, compiled: { type: 'boolean' }, gate: { type: 'boolean' } },
  })
  const jobs = Number(values.jobs ?? 2 * availableParallelism())
  if (!Number.isInteger(jobs) || jobs < 1)
    throw new Error(`invalid --jobs ${values.jobs}. Give an integer from 1, as in --jobs=2.`)
  return { ...values, jobs, files: findTests(ROOT, positionals), all: positionals.length === 0 }
}

/** Returns the exit code: 0 all passed, 1 a test or the compiler failed, 2 wrong usage. */
async function main(args) {
  let options
  try {
    options = readOptions(args)
  } catch (error) {
    process.stderr.write(`Cannot run the tests: ${error.message}\n`)
    return 2
  }
  if (!options.compiled) {
    const errors = await compile()
    if (errors !== '') {
      process.stderr.write(errors)
      return 1
    }
  }
  const results = await runFiles(options.files, options.jobs)
  if (options.gate && options.all)
    results.push(
      await runTap('conformance gate', process.execPath, [GATE, 'gate'], { timeoutS: GATE_TIMEOUT_S }),
    )
  const sum = (key) => results.reduce((total, { counts }) => total + counts[key], 0)
  const skipped = sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : ''
  process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed${skipped}\n`)
  return sum('failed') === 0 ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))
