// Runs the tests on every supported Node: `npm run test:matrix -- [24 26] [test/herd/state.test.ts]`. Compiles once, with
// the running Node. A table of the results comes last; exit code 1 when a version failed.
import { spawn } from 'node:child_process'
import { dirname, delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MAJORS, runtime } from './runtimes.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const RUN_TESTS = join(ROOT, 'scripts/run-tests.mjs')

/** Runs the suite on a Node version. PATH begins with its folder, so that all child processes use it too. */
function runSuite(node, args) {
  return new Promise((resolve) => {
    const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` }
    const child = spawn(node, [RUN_TESTS, ...args], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'inherit'] })
    let last = 'no output'
    let rest = ''
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      process.stdout.write(chunk)
      const lines = (rest + chunk).split('\n')
      rest = lines.pop()
      last = lines.findLast((line) => line !== '') ?? last
    })
    child.on('error', (error) => resolve({ ok: false, last: String(error) }))
    child.on('close', (code) => resolve({ ok: code === 0, last: rest || last }))
  })
}

async function main(argv) {
  const majors = argv.filter((word) => MAJORS.includes(Number(word))).map(Number)
  const rest = argv.filter((word) => !MAJORS.includes(Number(word)))
  const rows = []
  for (const major of majors.length > 0 ? majors : MAJORS) {
    process.stdout.write(`\n# node ${major}\n`)
    const compiled = rows.length > 0 ? ['--compiled'] : []
    rows.push({ major, ...(await runSuite(runtime(major), [...compiled, ...rest])) })
  }
  for (const { major, ok, last } of rows)
    process.stdout.write(`node ${major}  ${ok ? 'passed' : 'FAILED'}  ${last}\n`)
  return rows.every((row) => row.ok) ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))
