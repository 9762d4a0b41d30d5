// Parses the command line with commander, which gives help texts, suggestions and error messages. Built from flags.ts.

import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { EXIT } from '../base/exit-codes.ts'
import { suggest } from '../base/suggest.ts'
import { camelCase, COMMANDS, toFlagValues } from './flags.ts'
import type { CommandSpec, FlagValues } from './flags.ts'
import { print, printError } from './io.ts'
import { runCommand } from './run-command.ts'
import { usageText } from './usage.ts'
import { ownVersion } from '../base/version.ts'

/** The output of help and error messages. */
export interface Io {
  print(text: string): Promise<void>
  printError(text: string): Promise<void>
}

/** Runs a valid command and returns the exit code. */
type Run = (name: string, args: readonly string[], flags: FlagValues) => Promise<number>

/** Runs `argv` and returns the exit code. Tests replace `run` and `io`. */
export async function main(
  argv: readonly string[],
  run: Run = runCommand,
  io: Io = { print, printError },
): Promise<number> {
  let code: number = EXIT.ok
  const output = { out: '', err: '' }
  const { line, passed } = splitPassThrough(argv)
  const program = buildProgram(output, async (spec, command) => {
    const given = command.opts<Record<string, string | boolean | readonly string[] | undefined>>()
    const raw = Object.fromEntries(spec.flags.map(({ name }) => [name, given[camelCase(name)]]))
    const flags = toFlagValues(spec, raw)
    code = await run(spec.name, command.args, passed === undefined ? flags : { ...flags, '--': passed })
  })
  try {
    await program.parseAsync(line, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    code = error.exitCode === 0 ? EXIT.ok : EXIT.usage
  }
  if (output.out !== '') await io.print(output.out)
  if (output.err !== '') await io.printError(output.err)
  return code
}

/** Separates the arguments after `--`, since commander merges them with those before it. The command to run must stay
 *  unchanged. */
function splitPassThrough(argv: readonly string[]): {
  readonly line: string[]
  readonly passed?: readonly string[]
} {
  const at = argv.indexOf('--')
  const passes = COMMANDS.some(({ name, passThrough }) => name === argv[0] && passThrough !== undefined)
  return at < 0 || !passes ? { line: [...argv] } : { line: argv.slice(0, at), passed: argv.slice(at + 1) }
}

/** By default commander writes and exits on its own. This disables both, so that main() decides about output and exit code. */
function buildProgram(
  output: { out: string; err: string },
  act: (spec: CommandSpec, command: Command) => Promise<void>,
): Command {
  const program = new Command('byre')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void (output.out += text),
      writeErr: (text) => void (output.err += text),
    })
    .version(ownVersion(), '-V, --version')
    .helpCommand('help [command]', 'show the help of a command')
    .showHelpAfterError('(byre --help lists the commands)')
  program.helpInformation = usageText
  program.on('command:*', ([word = '']: string[]) => {
    // Stricter than commander's suggestions, which offer 'stop' for 'top' and 'units' for 'init'.
    const near = suggest(
      word,
      COMMANDS.map(({ name }) => name),
      LETTERS_PER_EDIT,
    )
    program.error(
      `error: unknown command '${word}'${near === undefined ? '' : `\n(Did you mean ${near}?)`}`,
      { code: 'commander.unknownCommand' },
    )
  })
  for (const spec of COMMANDS) addCommand(program, spec, act)
  return program
}

const LETTERS_PER_EDIT = 4

/** An empty value usually comes from an unset variable in a script: `--socket "$SOCKET"`. */
function notEmpty(value: string): string {
  if (value === '') throw new InvalidArgumentError('It must not be empty.')
  return value
}

function addCommand(
  program: Command,
  spec: CommandSpec,
  act: (spec: CommandSpec, command: Command) => Promise<void>,
): void {
  const command = program.command(spec.name).description(spec.summary)
  for (const { name, help, choices, variadic } of spec.arguments) {
    const argument = new Argument(variadic === true ? `[${name}...]` : `<${name}>`, help)
    command.addArgument(choices === undefined ? argument : argument.choices(choices))
  }
  for (const flag of spec.flags) {
    const option = new Option(
      `--${flag.name}${flag.value === undefined ? '' : ` <${flag.value}>`}`,
      flag.help,
    )
    if (flag.choices !== undefined) option.choices(flag.choices)
    else if (flag.repeat === true)
      option.argParser<readonly string[]>((value, before) => [...(before ?? []), notEmpty(value)])
    else if (flag.value !== undefined) option.argParser<string>(notEmpty)
    command.addOption(option.makeOptionMandatory(flag.required === true))
  }
  if (spec.passThrough !== undefined)
    command.usage(`[options] [line...] | [options] -- <${spec.passThrough}>`)
  const examples = spec.examples.map(([line, does]) => `  ${line}\n      ${does}`)
  command
    .addHelpText('after', `\nExample${examples.length === 1 ? '' : 's'}:\n${examples.join('\n')}`)
    .showHelpAfterError(`(byre ${spec.name} --help shows its options)`)
    .action(() => act(spec, command))
}
