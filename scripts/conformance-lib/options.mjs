// The command line of scripts/conformance, checked before anything starts.
import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync, realpathSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { SUITES } from './packages/suites.mjs'
import { PLACEMENTS } from './placements.mjs'

const COMMANDS = ['run', 'baseline', 'packages', 'report', 'gate']
const NAMES = SUITES.map(({ name }) => name)
const LAUNCHER = fileURLToPath(new URL('../../units/byre', import.meta.url))

export const USAGE = `Usage: scripts/conformance [COMMAND] [options]

Commands
  run                 hosts Node's own test files and prints the pass rate (default)
  baseline            finds the files that pass plainly on this Node; 'run' does this for the files it needs
  packages [NAME...]  hosts the test suites of packages in 'shared', and prints each test that passes plainly but not
                      hosted; without a NAME all of ${NAMES.slice(0, 6).join(', ')},
                      ${NAMES.slice(6).join(', ')}
  report              writes docs/conformance.md from the saved results; exits 1 when a failure has no reason in
                      scripts/conformance-lib/reasons.json
  gate                hosts a fixed sample in every placement and exits 1 when too few files pass; prints TAP

Options of 'run' and 'baseline'
  --placement P   process, thread, shared or all (default all)
  --list L        all, or a file with one test name per line, such as parallel/test-timers.js (default all)
  --only TEXT     only the files whose name contains TEXT
  --sample N      N of the files, chosen by --seed
  --seed S        default 1
  --jobs N        number of files that run at the same time, 1 to 64 (default 2)

Options of these and 'packages'
  --node PATH     the Node under test; its file name must be node (default the one that runs this)
  --byre PATH     the launcher under test (default units/byre of this checkout)
  --json FILE     write every result with its evidence to FILE
  --save          write docs/perf/conformance-node<major>.json, which needs the whole list; for 'packages'
                  docs/perf/conformance-packages-node<major>.json
  --verbose       print each failure with its reason
  --help

Exit codes: 0 done (regardless of the rate), 1 failed, 2 invalid command line, 69 the test files are not available.
`

/** The command with its options; throws an Error whose message is for the user. */
export function parseCommandLine(argv) {
  const { values, positionals } = parseArgs({ args: argv, allowPositionals: true, options: OPTIONS })
  if (values.help) return { command: 'help' }
  const [command = 'run', ...names] = positionals
  if (!COMMANDS.includes(command) || (command !== 'packages' && names.length > 0))
    throw new Error(`Cannot run '${positionals.join(' ')}': give one of ${COMMANDS.join(', ')}.`)
  const unknown = names.find((name) => !NAMES.includes(name))
  if (unknown !== undefined)
    throw new Error(`Cannot run the tests of '${unknown}': give one of ${NAMES.join(', ')}.`)
  if (values.save && (values.sample ?? values.only ?? values.list ?? 'all') !== 'all')
    throw new Error('Cannot use --save: it records the whole list. Leave out --sample, --only and --list.')
  const node = nodeOption(values.node)
  return {
    command,
    packages: names.length > 0 ? names : NAMES,
    placements: placementsOption(values.placement ?? 'all'),
    list: listOption(values.list ?? 'all'),
    only: values.only,
    sample: values.sample === undefined ? undefined : wholeNumber('--sample', values.sample, 100_000),
    seed: values.seed ?? '1',
    jobs: wholeNumber('--jobs', values.jobs ?? '2', 64),
    node,
    nodeVersion: versionOf(node),
    launcher: launcherOption(values.byre),
    json: values.json,
    save: values.save ?? false,
    verbose: values.verbose ?? false,
  }
}

const OPTIONS = {
  placement: { type: 'string' },
  list: { type: 'string' },
  only: { type: 'string' },
  sample: { type: 'string' },
  seed: { type: 'string' },
  jobs: { type: 'string' },
  node: { type: 'string' },
  byre: { type: 'string' },
  json: { type: 'string' },
  save: { type: 'boolean' },
  verbose: { type: 'boolean' },
  help: { type: 'boolean' },
}

function placementsOption(text) {
  if (text === 'all') return PLACEMENTS
  if (PLACEMENTS.includes(text)) return [text]
  throw new Error(`Cannot use --placement: give one of ${PLACEMENTS.join(', ')}, all; got '${text}'.`)
}

function listOption(text) {
  if (text === 'all' || existsSync(text)) return text
  throw new Error(`Cannot use --list: '${text}' is neither 'all' nor an existing file.`)
}

function wholeNumber(flag, text, max) {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= max) return value
  throw new Error(`Cannot use ${flag}: a whole number from 1 to ${max} is needed, got '${text}'.`)
}

// The launcher looks `node` up in PATH, so the file must have that name.
function nodeOption(path) {
  if (path === undefined) return process.execPath
  const absolute = resolve(path)
  if (basename(absolute) === 'node') return absolute
  throw new Error(`Cannot use --node: the file must be named 'node', got '${path}'.`)
}

function launcherOption(path) {
  if (path === undefined) return LAUNCHER
  try {
    accessSync(path, constants.X_OK)
    return realpathSync(path)
  } catch (error) {
    throw new Error(`Cannot use --byre: '${path}' cannot be executed (${error.code}).`)
  }
}

function versionOf(node) {
  try {
    return execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()
  } catch (error) {
    throw new Error(`Cannot use --node: '${node}' does not run (${error.code ?? error.message}).`)
  }
}
