// Checks that a program hosted by byre behaves as under plain Node, with Node's own test files and the test suites of
// packages: the tests that pass under plain Node are then hosted. The tests are not part of this repository. See
// `scripts/conformance --help` and docs/conformance.md.
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
/** The output of the commands: the checkout and the standard streams. */
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
    OUTPUT.note(`the test files are not available: ${error.message}`)
    return EXIT.unavailable
  }
}

// Does not wait for pending timeouts.
process.exit(await main(process.argv.slice(2)))
