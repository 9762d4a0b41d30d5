// The command line of scripts/bench, checked before anything starts.
import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { parseDurationMs } from '../../../build/src/base/durations.js'

const DEFAULT_RUNS = 5

/** {name, options} or throws an Error whose message is for the user. */
export function parseCommandLine(argv, names) {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      runs: { type: 'string' },
      settle: { type: 'string' },
      duration: { type: 'string' },
      node: { type: 'string' },
      json: { type: 'boolean' },
      save: { type: 'boolean' },
      check: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  if (values.help || positionals.length === 0) return { help: true }
  const [name, ...rest] = positionals
  if (!names.includes(name) || rest.length > 0)
    throw new Error(`Cannot run bench '${positionals.join(' ')}': give one of ${names.join(', ')}.`)
  const node = values.node ?? process.execPath
  return {
    name,
    options: {
      runs: wholeNumber('--runs', values.runs, DEFAULT_RUNS),
      settleMs: duration('--settle', values.settle, 10_000),
      durationMs: duration('--duration', values.duration, 600_000),
      node,
      nodeVersion: versionOf(node),
      json: values.json ?? false,
      save: values.save ?? false,
      check: values.check ?? false,
    },
  }
}

function wholeNumber(flag, text, fallback) {
  if (text === undefined) return fallback
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= 1000) return value
  throw new Error(`Cannot use ${flag}: a whole number from 1 to 1000 is needed, got '${text}'.`)
}

function duration(flag, text, fallback) {
  if (text === undefined) return fallback
  const value = parseDurationMs(text)
  if (value !== undefined) return value
  throw new Error(`Cannot use ${flag}: a duration such as '10s' is needed, got '${text}'.`)
}

function versionOf(node) {
  try {
    return execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()
  } catch (error) {
    throw new Error(`Cannot use --node: '${node}' does not run (${error.code ?? error.message}).`)
  }
}
