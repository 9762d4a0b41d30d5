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
  /** May be given several times; each value as it stands, commas included. */
  readonly repeat?: boolean
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
  /** What stands behind `--` is handed on as it is, as the flag value `--`; its name in help. */
  readonly passThrough?: string
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
  {
    name: 'bus',
    value: 'URL',
    help: 'ask every supervisor of the herd over this Redis; no password here: REDIS_URL, or @FILE (0600)',
  },
  JSON_OUTPUT,
]
const WORKER: Argument = { name: 'worker', help: 'its name in the config' }

const MEASURE: CommandSpec = {
  name: 'measure',
  summary: 'measure the memory of a command and of everything it starts',
  arguments: [{ name: 'line', help: 'shell lines to measure side by side, each quoted', variadic: true }],
  passThrough: 'command...',
  flags: [
    { name: 'label', value: 'NAME', help: 'names the files (default: made from the command)' },
    { name: 'out', value: 'DIR', help: 'where they go (default: .byre/measure)' },
    { name: 'runs', value: 'N', help: 'runs of each command and phase, interleaved (default: 1)' },
    { name: 'warmup', value: 'N', help: 'runs before, not recorded (default: 0)' },
    { name: 'prepare', value: 'LINE', help: 'shell line before each cold run, not measured' },
    { name: 'phases', value: 'A,B', help: 'cold, warm or both (default: cold with --prepare)', list: true },
    { name: 'cleanup', value: 'LINE', help: 'shell line after each run, not measured' },
    {
      name: 'verify',
      value: 'PATH',
      help: 'must be there and not empty after it; globs; again',
      repeat: true,
    },
    {
      name: 'verify-json',
      value: 'FILE:KEY',
      help: 'the key must be there; may be given again',
      repeat: true,
    },
    {
      name: 'stage',
      value: 'NAME=REGEX',
      help: 'tags processes by command line, the first that fits; again',
      repeat: true,
    },
    { name: 'size', value: 'NAME=PATH', help: 'the size of a file or folder after it; again', repeat: true },
    {
      name: 'ceiling',
      value: 'SIZE',
      help: '8GiB of the peak, or anon=, pss=, uss=, peak=8GiB; exits 3 above it',
    },
    { name: 'matrix', value: 'FILE', help: 'runs the variants of a JSON file, each against its baseline' },
    { name: 'limit', value: 'SIZE', help: 'imposes it and says whether the command fitted' },
    { name: 'interval-ms', value: 'MS', help: 'between two readings of the tree (default: 150)' },
    {
      name: 'container',
      value: 'IMAGE',
      help: 'run it by docker or podman; default: the image of this Node',
    },
    { name: 'sampled', help: 'use no cgroup, only samples' },
    { name: 'html', value: 'FILE', help: 'write a page with the timeline' },
    { name: 'markdown', value: 'FILE', help: 'write a comment for a pull request' },
    { name: 'prometheus', value: 'FILE', help: 'write a file for the textfile collector' },
    { name: 'log-max', value: 'SIZE', help: 'the most that is logged of its output (default: 1GiB)' },
    { name: 'quiet', help: 'do not show the output of the command' },
    { name: 'json-only', help: 'print one line of JSON and nothing else' },
  ],
  examples: [
    ['byre measure -- npm run build', 'the peak, what it is made of, who held it'],
    ["byre measure --stage 'bundle=esbuild|rollup' --runs 5 -- npm run build", 'by stage, with spread'],
    ["byre measure --runs 5 'npm run a' 'npm run b'", 'two commands side by side, interleaved'],
    ['byre measure --ceiling anon=2GiB -- npm test', 'a gate, for CI'],
    ['byre measure --matrix experiments.json', 'which change helps, dead ends kept'],
  ],
}

const COMPARE: CommandSpec = {
  name: 'compare',
  summary: 'compare two results of byre measure; says nothing the runs do not show',
  arguments: [
    { name: 'before', help: 'result-LABEL.json' },
    { name: 'after', help: 'result-LABEL.json' },
  ],
  flags: [
    { name: 'fail-on', value: 'VERDICT', help: 'exit 3 when a figure is worse', choices: ['worse'] },
    JSON_OUTPUT,
  ],
  examples: [['byre compare before.json after.json --fail-on worse', 'a gate, for CI']],
}

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
    name: 'profile',
    summary: 'show who in the shared loop uses the CPU or the heap',
    arguments: [WORKER],
    flags: [
      ...ASKING,
      { name: 'cpu', value: 'TIME', help: 'CPU over this window, 100ms to 60s (default: 5s)' },
      { name: 'heap', help: 'what is allocated within the window and still lives, instead of CPU' },
    ],
    examples: [
      ['byre profile webhook', 'CPU of the loop webhook lives in, by worker, over 5 s'],
      ['byre profile webhook --heap --cpu 20s', 'the heap, over 20 s'],
    ],
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
      {
        name: 'until',
        value: 'PHASE',
        help: 'run it for real and see what it uses until ready or first-message',
      },
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
  MEASURE,
  COMPARE,
  {
    name: 'units',
    summary: 'print or write systemd units made from the config',
    arguments: [],
    flags: [
      CONFIG,
      { name: 'out', value: 'DIR', help: 'write them there, instead of printing them' },
      { name: 'explain', help: 'show what each unit allows, because of whom, and what a split would narrow' },
      { name: 'user', value: 'NAME', help: 'who the units run as (default: byre)' },
      {
        name: 'individual',
        value: 'PATTERN',
        help: "units of single workers that exist already: 'shop-%w.service'",
      },
      { name: 'watchdog', value: 'TIME', help: 'WatchdogSec= of the units (default: 30s)' },
      JSON_OUTPUT,
    ],
    examples: [
      ['byre units --explain', 'who widens the privileges of which group'],
      ['byre units --out /etc/systemd/system', 'one unit for each group, and one for each worker alone'],
    ],
  },
  {
    name: 'swap',
    summary: 'swap the units of single workers for the one of their group, or back, measured',
    arguments: [],
    flags: [
      { name: 'to', value: 'SIDE', help: 'which side shall run', choices: ['supervised', 'individual'] },
      CONFIG,
      { name: 'group', value: 'GROUP', help: 'which group, when the config has several' },
      { name: 'health', value: 'TIME', help: 'how long the new side must stay well (default: 10s)' },
      { name: 'dry-run', help: 'say what would be done, and do nothing' },
      { name: 'resume', help: 'end a swap that was interrupted' },
      { name: 'herd', value: 'NAME', help: 'with --resume: whose, without asking a config' },
      JSON_OUTPUT,
    ],
    examples: [
      ['byre swap --to supervised --group batch --dry-run', 'what it would do'],
      ['byre swap --to supervised --group batch', 'rolls back unless all goes well'],
      ['byre swap --to individual --group batch', 'the way back'],
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
  raw: Readonly<Record<string, string | boolean | readonly string[] | undefined>>,
): FlagValues {
  const values: Record<string, string | boolean | readonly string[]> = {}
  for (const { name, list } of spec.flags) {
    const value = raw[name]
    if (value === undefined) continue
    values[camelCase(name)] =
      list === true
        ? String(value)
            .split(',')
            .filter((part) => part !== '')
        : value
  }
  return values
}

export function camelCase(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}

function control(name: string, summary: string, example: string): CommandSpec {
  return { name, summary, arguments: [WORKER], flags: ASKING, examples: [[example, 'answers at once']] }
}
