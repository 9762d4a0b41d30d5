// Does a program hosted by byre behave as under plain Node? Node's own test files and the test suites of packages are the
// judge: what passes plainly is then hosted. None of them is kept in this repository. See `scripts/conformance --help` and
// docs/conformance.md.
import { fileURLToPath } from 'node:url'
import { gateCommand } from './conformance-lib/gate.mjs'
import { USAGE, parseCommandLine } from './conformance-lib/options.mjs'
import { packagesCommand } from './conformance-lib/packages/command.mjs'
import { reportCommand } from './conformance-lib/report-command.mjs'
import { baselineCommand, runCommand } from './conformance-lib/run-command.mjs'

const EXIT = { ok: 0, failed: 1, usage: 2, unavailable: 69 }
const COMMANDS = {
  run: runCommand,
  baseline: baselineCommand,
  packages: packagesCommand,
  report: reportCommand,
  gate: gateCommand,
}
/** What the commands write to: the checkout and the standard streams. */
const OUTPUT = {
  root: fileURLToPath(new URL('..', import.meta.url)),
  print: (line) => void process.stdout.write(`${line}\n`),
  note: (line) => void process.stderr.write(`conformance: ${line}\n`),
}

async function main(argv) {
  let options
  try {
    options = parseCommandLine(argv)
  } catch (error) {
    process.stderr.write(`${error.message}\n${USAGE}`)
    return EXIT.usage
  }
  if (options.command === 'help') {
    process.stdout.write(USAGE)
    return EXIT.ok
  }
  try {
    const holds = await COMMANDS[options.command](options, OUTPUT)
    return holds === false ? EXIT.failed : EXIT.ok
  } catch (error) {
    if (error.code !== 'SOURCES_UNAVAILABLE') throw error
    OUTPUT.note(`the test files cannot be had: ${error.message}`)
    return EXIT.unavailable
  }
}

// Time limits that were not reached are still pending.
process.exit(await main(process.argv.slice(2)))
