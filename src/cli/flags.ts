// Every command, its arguments and its flags, as data. The hot path (parse.ts, node:util parseArgs), commander (main.ts)
// and the usage text are all made from this one table, so they cannot disagree.

export interface Flag {
  /** Without the dashes. */
  readonly name: string
  /** What stands for the value in help; absent for a flag that is on or off. */
  readonly value?: string
  readonly help: string
  readonly choices?: readonly string[]
  readonly required?: boolean
  /** Several values separated by commas. */
  readonly list?: boolean
}

export interface Argument {
  readonly name: string
  readonly help: string
  readonly choices?: readonly string[]
  /** None, one or several; the last argument only. */
  readonly variadic?: boolean
}

export interface CommandSpec {
  readonly name: string
  /** One line, for the list of commands. */
  readonly summary: string
  readonly arguments: readonly Argument[]
  readonly flags: readonly Flag[]
  /** Command lines to copy, each with what it does. */
  readonly examples: readonly (readonly [line: string, does: string])[]
}

/** Flags as the commands receive them: camelCase, lists split. Absent when not given. */
export type FlagValues = Readonly<Record<string, string | boolean | readonly string[]>>

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

const PLACEMENTS = ['shared', 'thread', 'process'] as const

const CONFIG: Flag = {
  name: 'config',
  value: 'FILE',
  help: 'the config (default: byre.config.* in this folder)',
}
const SOCKET: Flag = {
  name: 'socket',
  value: 'PATH',
  help: 'the control socket, instead of the one of the config',
}
const JSON_OUTPUT: Flag = { name: 'json', help: 'print JSON' }
const HOSTING: readonly Flag[] = [
  CONFIG,
  SOCKET,
  { name: 'log-level', value: 'LEVEL', help: 'lines from this level on (default: info)', choices: LEVELS },
  {
    name: 'log-format',
    value: 'FORMAT',
    help: 'default: auto, which is pretty on a terminal and journal under systemd',
    choices: ['auto', 'json', 'pretty', 'journal'],
  },
]
const ASKING: readonly Flag[] = [
  CONFIG,
  { name: 'group', value: 'GROUP', help: 'only the process that hosts this group' },
  SOCKET,
  JSON_OUTPUT,
]
const WORKER: Argument = { name: 'worker', help: 'its name in the config' }

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: 'supervise',
    summary: 'host the workers of the config in this process',
    arguments: [],
    flags: [
      ...HOSTING,
      { name: 'group', value: 'GROUP', help: 'only the workers of this group' },
      { name: 'only', value: 'A,B', help: 'only these workers', list: true },
      { name: 'explain', help: 'print start order and restart delays of the config, and start nothing' },
    ],
    examples: [
      ['byre supervise', 'hosts everything in ./byre.config.js'],
      ['byre supervise --group batch', 'hosts one group'],
      ['byre supervise --explain', 'shows what would happen'],
    ],
  },
  {
    name: 'run',
    summary: 'run one worker alone in this process, as in the herd',
    arguments: [WORKER],
    flags: HOSTING,
    examples: [['byre run webhook', 'the same contract, the same bus, one process']],
  },
  {
    name: 'status',
    summary: 'show the workers of all running processes of the herd',
    arguments: [],
    flags: ASKING,
    examples: [
      ['byre status', 'exits 1 if a worker is quarantined, 4 if nothing answers'],
      ['byre status --json', 'for scripts'],
    ],
  },
  control('start', 'start a worker that is stopped, quarantined or dormant', 'byre start webhook'),
  control('stop', 'stop a worker and leave it stopped', 'byre stop webhook'),
  control('restart', 'stop a worker and start it again; loads no new code', 'byre restart webhook'),
  control('wake', 'load and run a dormant worker now', 'byre wake report'),
  control('sleep', 'stop a worker that wakes by itself, until its next message or tick', 'byre sleep report'),
  {
    ...control('move', 'move a running worker to another placement', 'byre move report --to process'),
    flags: [
      ...ASKING,
      { name: 'to', value: 'PLACEMENT', help: 'where it shall live', choices: PLACEMENTS, required: true },
    ],
  },
  {
    ...control('log-level', 'set the log level of one worker while it runs', 'byre log-level webhook debug'),
    arguments: [WORKER, { name: 'level', help: 'the lowest level it logs', choices: LEVELS }],
  },
  {
    name: 'audit',
    summary: 'show what each import costs, what a cut would save, and gate it',
    arguments: [
      {
        name: 'entry',
        help: 'a file, a worker of the config, a package, a bin, or byre; none: all of the floor file',
        variadic: true,
      },
    ],
    flags: [
      { name: 'check', help: 'gate on byre.floor.json; exits 3 when a rule is broken' },
      { name: 'update', help: 'record lists and budget in byre.floor.json' },
      { name: 'floor', value: 'FILE', help: 'instead of byre.floor.json' },
      { name: 'cut', value: 'A,B', help: 'the fewest imports that keep these out, proven', list: true },
      { name: 'why', value: 'A,B', help: 'the chain that loads these, and what to cut', list: true },
      { name: 'what-if', value: 'EDGE', help: "what one lazy import saves: 'a.js -> b.js'" },
      { name: 'everywhere', help: 'propose imports inside packages too' },
      { name: 'diff', value: 'FILE', help: 'compare with an earlier --json' },
      { name: 'node', value: 'PATH', help: 'audit with this node' },
      { name: 'runs', value: 'N', help: 'plain runs (default: 5; 1 for --check without a ceiling)' },
      { name: 'proofs', value: 'N', help: 'proposals to prove (default: 10; 0 for --check)' },
      { name: 'env', value: 'K=V,K=V', help: 'environment of the audited program', list: true },
      { name: 'fresh', help: 'measure even if nothing changed' },
      { name: 'html', value: 'FILE', help: 'write a page to look around in' },
      { name: 'speedscope', value: 'FILE', help: 'write a profile for speedscope' },
      { name: 'trace', value: 'FILE', help: 'write trace events for Chrome and Perfetto' },
      { name: 'markdown', help: 'print a comment for a pull request' },
      JSON_OUTPUT,
    ],
    examples: [
      ['byre audit dist/cli.js', 'what it is made of, and what would help'],
      ['byre audit webhook --cut typeorm', 'the fewest imports to make lazy, proven by running'],
      ['byre audit --check', 'the gate, for CI'],
    ],
  },
]

/** The entry of `name`, or undefined. */
export function findCommand(name: string): CommandSpec | undefined {
  return COMMANDS.find((command) => command.name === name)
}

/** Names to camelCase, lists split at commas (empty parts dropped), what was not given left out. */
export function toFlagValues(
  spec: CommandSpec,
  raw: Readonly<Record<string, string | boolean | undefined>>,
): FlagValues {
  const values: Record<string, string | boolean | readonly string[]> = {}
  for (const { name, list } of spec.flags) {
    const value = raw[name]
    if (value === undefined) continue
    values[camelCase(name)] = list === true ? `${value}`.split(',').filter((part) => part !== '') : value
  }
  return values
}

export function camelCase(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}

function control(name: string, summary: string, example: string): CommandSpec {
  return { name, summary, arguments: [WORKER], flags: ASKING, examples: [[example, 'answers at once']] }
}
