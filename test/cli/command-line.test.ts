// The command line: both parsers use one table, --help needs no commander, and every error exits 2 with a remedy.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import { ByreError } from '../../src/base/errors.ts'
import { describeExit, exitCodeOf } from '../../src/cli/exit.ts'
import { camelCase, COMMANDS, findCommand } from '../../src/cli/flags.ts'
import type { FlagValues } from '../../src/cli/flags.ts'
import { main } from '../../src/cli/main.ts'
import { parseLine } from '../../src/cli/parse.ts'
import { usageText } from '../../src/cli/usage.ts'
import { runCleanNode } from '../helpers/clean-node.ts'

const bin = join(dirname(fileURLToPath(import.meta.url)), '../../src/bin.js')
const byre = (...args: string[]): ReturnType<typeof runCleanNode> =>
  runCleanNode([bin, ...args], { cwd: '/', env: { XDG_RUNTIME_DIR: '/nonexistent' } })

type Line = { name: string; args: readonly string[]; flags: FlagValues }

/** Parses a line with commander. Returns undefined when commander refuses it. Its output is discarded. */
async function byCommander(argv: readonly string[]): Promise<Line | undefined> {
  let line: Line | undefined
  const discard = { print: () => Promise.resolve(), printError: () => Promise.resolve() }
  const code = await main(
    argv,
    async (name, args, flags) => {
      line = { name, args: [...args], flags }
      return 0
    },
    discard,
  )
  if (code !== 0 && (code !== 2 || line !== undefined))
    throw new Error(`exit code ${code} for ${argv.join(' ')}`)
  return line
}

function byParseArgs([name, ...rest]: readonly string[]): Line | undefined {
  const line = parseLine(findCommand(name!)!, rest)
  return line === undefined ? undefined : { name: name!, args: [...line.args], flags: line.flags }
}

t.test('parseArgs and commander parse a line in the same way', async (t) => {
  const table: [string, object | undefined][] = [
    ['supervise', { args: [], flags: {} }],
    ['supervise --config a.js --group batch', { flags: { config: 'a.js', group: 'batch' } }],
    ['supervise --config=a.js --only a,b,,c', { flags: { config: 'a.js', only: ['a', 'b', 'c'] } }],
    [
      'supervise --explain --log-level debug --log-format json',
      { flags: { explain: true, logLevel: 'debug' } },
    ],
    ['supervise --group a --group b', { flags: { group: 'b' } }],
    ['supervise --group=', undefined],
    ['run mail', { args: ['mail'], flags: {} }],
    ['run --socket /run/x.sock mail', { args: ['mail'], flags: { socket: '/run/x.sock' } }],
    ['run -- --mail', { args: ['--mail'] }],
    ['supervise extra', undefined],
    ['supervise --wrong', undefined],
    ['supervise --log-level loud', undefined],
    ['supervise --config', undefined],
    ['supervise --explain=yes', undefined],
    ['run', undefined],
    ['run a b', undefined],
    ['run -x a', undefined],
    ['supervise --log-level a,b --log-level info', undefined],
  ]
  for (const [text, expected] of table) {
    const argv = text.split(' ')
    const [quick, slow] = [byParseArgs(argv), await byCommander(argv)]
    t.same(quick, slow, text)
    if (expected === undefined) t.equal(quick, undefined, text)
    else t.match(quick, expected, text)
  }
})

t.test('property: commander parses every line that parseArgs accepts in the same way', async (t) => {
  const words = [
    '--config',
    '--config=x',
    '--group',
    '--only',
    'a,b',
    '--explain',
    '--log-level',
    'info',
    '--socket=y',
    'mail',
    '--',
    '-h',
    '-x',
    '',
  ]
  const argv = fc
    .tuple(fc.constantFrom('supervise', 'run'), fc.array(fc.constantFrom(...words), { maxLength: 6 }))
    .map(([name, rest]) => [name, ...rest])
  let accepted = 0
  await fc.assert(
    fc.asyncProperty(argv, async (line) => {
      const quick = byParseArgs(line)
      if (quick === undefined) return true
      accepted++
      return JSON.stringify(quick) === JSON.stringify(await byCommander(line))
    }),
    { numRuns: 400 },
  )
  t.ok(accepted > 20, `${accepted} lines were accepted`)
})

t.test('property: a line reaches a command only when all its flags are in the table', async (t) => {
  const names = COMMANDS.map(({ name }) => name)
  const word = fc.oneof(
    fc.constantFrom(
      '--to',
      '--to=thread',
      '--json',
      '--config',
      'debug',
      '--level',
      '-hV',
      '---',
      '=',
      '--=',
    ),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom(
      '__proto__',
      '--__proto__',
      '--constructor=x',
      'x'.repeat(100_000),
      '--no-json',
      '-',
      '\0',
    ),
  )
  const name = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...names) }, word)
  let reached = 0
  await fc.assert(
    fc.asyncProperty(name, fc.array(word, { maxLength: 4 }), async (first, rest) => {
      const seen = await byCommander([first, ...rest])
      if (seen === undefined) return true
      reached++
      const spec = findCommand(seen.name)!
      const flags = spec.flags.map((flag) => camelCase(flag.name))
      if (!Object.keys(seen.flags).every((flag) => flags.includes(flag))) return false
      if (seen.name === 'move' && !['shared', 'thread', 'process'].includes(String(seen.flags['to'])))
        return false
      return spec.arguments.at(-1)?.variadic === true || seen.args.length === spec.arguments.length
    }),
    { numRuns: 1000 },
  )
  t.ok(reached > 5, `${reached} lines were valid`)
  t.equal(({} as { x?: unknown }).x, undefined)
})

t.test('commander knows every listed command, and each has an example', async (t) => {
  const usage = usageText()
  for (const { name, summary, examples } of COMMANDS) {
    t.match(usage, `  ${name} `)
    t.match(usage, summary)
    const { code, stdout } = await byre(name, '--help')
    t.equal(code, 0)
    t.match(stdout, `Usage: byre ${name} [options]`)
    t.match(stdout, /\nExamples?:\n {2}byre /)
    for (const [line] of examples) t.match(stdout, `  ${line}\n`)
  }
})

t.test('--help and --version print to stdout and exit 0; a line without a command exits 2', async (t) => {
  for (const flag of ['--help', '-h', 'help'])
    t.match(await byre(flag), { code: 0, stdout: usageText(), stderr: '' })
  for (const flag of ['--version', '-V'])
    t.match(await byre(flag), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' })
  t.match(await byre(), { code: 2, stdout: '', stderr: /^Usage: byre/ })
  t.match(await byre('help', 'run'), { code: 0, stdout: /^Usage: byre run/ })
})

t.test('an invalid line exits 2 and names the error', async (t) => {
  const table: [string, RegExp][] = [
    ['superwise', /unknown command 'superwise'\n\(Did you mean supervise\?\)/],
    ['unit', /unknown command 'unit'\n\(Did you mean units\?\)/],
    // Unknown commands without a similar known one.
    ...['top', 'check', 'plan', 'init', 'nonsense', 'x'.repeat(100)].map((word): [string, RegExp] => [
      word,
      new RegExp(`^error: unknown command '${word}'\\n\\(byre --help lists the commands\\)\\n$`),
    ]),
    ['--wrong', /unknown option '--wrong'/],
    ['supervise --wrong', /unknown option '--wrong'[^]*byre supervise --help/],
    ['supervise one', /too many arguments/],
    ['supervise --socket=', /--socket <PATH>' argument '' is invalid. It must not be empty/],
    ['status --socket=', /It must not be empty/],
    ['audit x --env=', /It must not be empty/],
    ['supervise --log-level loud', /'loud' is invalid. Allowed choices are trace/],
    ['run', /missing required argument 'worker'/],
    ['move mail', /required option '--to <PLACEMENT>' not specified/],
    ['move mail --to moon', /Allowed choices are shared, thread, process/],
    ['log-level mail', /missing required argument 'level'/],
    ['stop', /missing required argument 'worker'/],
  ]
  for (const [line, expected] of table) {
    const { code, stdout, stderr } = await byre(...line.split(' '))
    t.equal(code, 2, line)
    t.match(stderr, expected, line)
    t.equal(stdout, '')
  }
})

t.test('each error has its exit code', async (t) => {
  const table: [unknown, number, RegExp][] = [
    [new ByreError('BYRE_CONFIG_INVALID', 'no'), 78, /^byre: no\n$/],
    [new ByreError('BYRE_CONFIG_NOT_FOUND', 'no'), 78, /no/],
    [new ByreError('BYRE_USAGE', 'no'), 2, /no/],
    [new ByreError('BYRE_ARGUMENT_INVALID', 'no'), 2, /no/],
    [new ByreError('BYRE_CONTROL_UNREACHABLE', 'no'), 4, /no/],
    [new ByreError('BYRE_WORKER_UNKNOWN', 'no'), 4, /no/],
    [new ByreError('BYRE_SOCKET_IN_USE', 'no'), 1, /no/],
    [new ByreError('BYRE_WORKER_DUPLICATE', 'no'), 1, /no/],
    [new ByreError('BYRE_CONTROL_REFUSED', 'no'), 1, /no/],
    [new ByreError('BYRE_INTERNAL', 'no'), 70, /no\n.*at /s],
    [
      Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES', syscall: 'open' }),
      1,
      /^byre: EACCES/,
    ],
    [new TypeError('x is not a function'), 70, /a bug in byre[^]*x is not a function[^]*at /],
    [undefined, 70, /undefined/],
  ]
  for (const [thrown, code, text] of table) {
    const exit = describeExit(thrown)
    t.equal(exit.code, code)
    t.match(exit.text, text)
  }
  t.equal(exitCodeOf('SOMETHING_NEWER'), 1)
})

t.test('a closed stdout is not an error', async (t) => {
  const { code, stderr } = await runCleanNode([
    '-e',
    `
    const { spawn } = require('node:child_process')
    const child = spawn(process.execPath, [${JSON.stringify(bin)}, '--help'], { stdio: ['ignore', 'pipe', 'inherit'] })
    child.stdout.destroy()
    child.on('exit', (code) => process.exit(code))
  `,
  ])
  t.equal(stderr, '')
  t.equal(code, 0)
})
