// Runs one test file of a package in the process or the worker that calls it, and writes a JSON line for each test. Under
// plain Node and hosted this is the same code, so that what differs is the hosting.
import { appendFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, sep } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { listen } from './node-test-reporter.mjs'

const POLL_MS = 10
/** Tests may be defined some turns after the file was evaluated, or after its other tests. */
const QUIET_POLLS = 20
/** For the first test to begin. */
const FIRST_TEST_POLLS = 500

// Kept as they are now: the tests may replace them.
const append = appendFileSync
const wait = sleep
const stringify = JSON.stringify

/** `config`: {runner, folder, file, results, mocha}. Resolves when every test of the file has ended. */
export async function run({ config }) {
  const { runner, results, ...job } = config
  const report = (line) => append(results, `${stringify(line)}\n`)
  await RUNNERS[runner](job, report)
  report({ ended: true })
}

const RUNNERS = { mocha: runMocha, 'node:test': runNodeTest }

async function runMocha({ folder, file, mocha: options }, report) {
  const require = createRequire(join(folder, 'package.json'))
  forgetOwnModules(folder, require.cache)
  const Mocha = require('mocha')
  for (const name of options.require ?? []) require(join(folder, name))
  const { checkLeaks, timeoutMs: timeout, network = '(?!)', leaveOut } = options
  const mocha = new Mocha({ checkLeaks, timeout, reporter: recorder })
  mocha.addFile(join(folder, file))
  await mocha.loadFilesAsync()
  const nameOf = distinctNames()
  mocha.suite.eachTest((test) => {
    const name = nameOf(test)
    if (new RegExp(network).test(name) || leaveOut.includes(name)) test.pending = true
  })
  await new Promise((resolve) => mocha.run(resolve))

  function recorder(runner) {
    const tell = (state) => (test, error) => report({ test: nameOf(test), state, ...describe(error) })
    runner.on('pass', tell('passed')).on('fail', tell('failed')).on('pending', tell('pending'))
  }
}

/** The same name for a test each time; some suites use a title more than once. */
function distinctNames() {
  const names = new Map()
  const counts = new Map()
  return (test) => {
    if (!names.has(test)) names.set(test, numbered(test.titlePath().join(' > '), counts))
    return names.get(test)
  }
}

function numbered(title, counts) {
  const n = (counts.get(title) ?? 0) + 1
  counts.set(title, n)
  return n === 1 ? title : `${title} (${n})`
}

/** The package and its tests are evaluated afresh for each file, as in a separate process; what it depends on is not. */
function forgetOwnModules(folder, cache) {
  for (const path of Object.keys(cache))
    if (path.startsWith(folder + sep) && !path.slice(folder.length).includes(`${sep}node_modules${sep}`))
      delete cache[path]
}

async function runNodeTest({ folder, file }, report) {
  const titles = []
  const counts = new Map()
  let open = 0
  let begun = false
  listen(({ type, data }) => {
    const { name, nesting, details, skip, todo } = data
    if (type === 'test:enqueue' && nesting === 0) open++
    begun ||= open > 0
    if (type === 'test:start') titles[nesting] = name
    if (type !== 'test:pass' && type !== 'test:fail') return
    if (nesting === 0) open--
    const state = skip || todo ? 'pending' : type === 'test:pass' ? 'passed' : 'failed'
    const error = details?.error?.cause ?? details?.error
    const test = numbered([...titles.slice(0, nesting), name].join(' > '), counts)
    report({ test, state, ...describe(error) })
  })
  await import(pathToFileURL(join(folder, file)).href)
  for (let quiet = 0; quiet < (begun ? QUIET_POLLS : FIRST_TEST_POLLS); quiet++) {
    await wait(POLL_MS)
    if (open > 0) quiet = 0
  }
}

function describe(error) {
  if (error === undefined || error === null) return {}
  return { error: String(error.message ?? error), stack: String(error.stack ?? '') }
}
