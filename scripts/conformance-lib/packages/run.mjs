// Runs the tests of a package plainly and hosted: one file at a time, in a separate worker in the shared loop.
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startHerd } from '../herd.mjs'
import { cleanEnv, killGroup, start } from '../processes.mjs'
import { evidenceOf, judge } from '../verdict.mjs'
import { compareFile, notPassed, readRun } from './compare.mjs'

const worker = (name) => fileURLToPath(new URL(`../workers/${name}`, import.meta.url))
const SUITE = worker('suite.mjs')
const PLAIN = worker('plain-suite.mjs')
const REPORTER = worker('node-test-reporter.mjs')
const FILE_LIMIT_MS = 240_000
/** Beyond twice the plain time. */
const HOSTED_SLACK_MS = 20_000
const LONGEST_GAP_MS = 5000
const QUIET_MS = 15

/** Map file -> compareFile(). `job`: {suite, folder, node, launcher}. `each(file, comparison)` is called as they come. */
export async function runPackage(job, each) {
  const results = mkdtempSync(join(tmpdir(), 'byre-packages-'))
  try {
    return await comparePlainAndHosted({ ...job, results, files: testFiles(job.folder, job.suite) }, each)
  } finally {
    rmSync(results, { recursive: true, force: true })
  }
}

async function comparePlainAndHosted({ files, ...job }, each) {
  const plain = new Map()
  for (const file of files) plain.set(file, await runPlainTwice(file, job))
  const hosted = await hostFiles(files, plain, job)
  const comparisons = new Map()
  for (const file of files) {
    const runs = [plain.get(file), hosted.get(file)]
    // What differs is run again, alone, and differs only if it does so again.
    if (compareFile(...runs).differences.length > 0) {
      runs[0].push(await runPlain(file, runs[0], job))
      runs[1].push(...(await hostFiles([file], plain, job)).get(file))
    }
    const comparison = compareFile(...runs)
    comparisons.set(file, comparison)
    each(file, comparison)
  }
  return comparisons
}

function testFiles(folder, { files }) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => !`${sep}${file}`.includes(`${sep}node_modules${sep}`))
    .filter((file) => files.test(file))
    .toSorted((a, b) => (a < b ? -1 : 1))
}

/** The second time, as hosted, without what failed the first time: that is not counted, and may end the run. */
async function runPlainTwice(file, job) {
  const first = await runPlain(file, [], job)
  return [first, await runPlain(file, [first], job)]
}

async function runPlain(file, before, { suite, folder, node, results }) {
  const { config, read } = openRun(file, before, { suite, folder, results })
  const begin = performance.now()
  const { child, release } = start(node, [PLAIN, JSON.stringify(config)], {
    cwd: folder,
    env: cleanEnv(node, environment(suite)),
    stdio: 'ignore',
  })
  const timer = setTimeout(() => killGroup(child), FILE_LIMIT_MS)
  const [code, signal] = await new Promise((resolve) => child.once('exit', (...how) => resolve(how)))
  clearTimeout(timer)
  release()
  return { ...read(code === 0 ? undefined : `ended: ${code ?? signal}`), ms: performance.now() - begin }
}

/** Map file -> its hosted runs, one each. Several in one supervisor, one after the other, until one of them ends it. */
async function hostFiles(files, plain, job) {
  const hosted = new Map()
  // The runner of node:test exists once in a process and ends with it.
  const batch = job.suite.runner === 'node:test' ? 1 : files.length
  for (let rest = files; rest.length > 0; ) {
    const done = await hostBatch(rest.slice(0, batch), plain, job)
    for (const [file, run] of done) hosted.set(file, [run])
    rest = rest.filter((file) => !hosted.has(file))
  }
  return hosted
}

async function hostBatch(files, plain, { suite, folder, node, launcher, results }) {
  const opened = files.map((file, i) => ({
    file,
    name: `t${i}`,
    ...openRun(file, plain.get(file), { suite, folder, results }),
  }))
  const herd = await startHerd({
    launcher,
    node,
    cwd: folder,
    env: environment(suite),
    workers: Object.fromEntries(
      opened.map(({ name, config }) => [name, { module: SUITE, placement: 'shared', config }]),
    ),
    longestGapMs: LONGEST_GAP_MS,
  })
  const done = new Map()
  try {
    for (const { file, name, read } of opened) {
      if (herd.over !== undefined) break
      const plainMs = Math.max(...plain.get(file).map(({ ms }) => ms))
      const options = { limitMs: plainMs * 2 + HOSTED_SLACK_MS, quietMs: QUIET_MS }
      const result = judge(await herd.run(name, options))
      done.set(file, read(result.ok ? undefined : `${result.verdict}: ${evidenceOf(result)}`))
    }
  } finally {
    await herd.stop()
  }
  if (done.size === 0) throw new Error('Cannot host test files: the supervisor does not start.')
  return done
}

let runs = 0

/** The config of suite.mjs without the tests that did not pass in all runs `before`, and the reader of its results. */
function openRun(file, before, { suite, folder, results }) {
  const path = join(results, `${runs++}.jsonl`)
  writeFileSync(path, '')
  const { runner, mocha } = suite
  const options = mocha && { ...mocha, leaveOut: notPassed(before), network: mocha.network?.source }
  return {
    config: { runner, folder, file, results: path, ...(options && { mocha: options }) },
    read: (problem) => readRun(readFileSync(path, 'utf8'), problem),
  }
}

const environment = ({ runner }) =>
  runner === 'node:test'
    ? { NODE_OPTIONS: `--test-reporter=${REPORTER} --test-reporter-destination=stdout` }
    : {}
