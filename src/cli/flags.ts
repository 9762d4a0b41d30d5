// The table of all commands with their arguments and flags. The parser for units (parse.ts), commander (main.ts) and the
// usage text are all built from it, so they cannot disagree.

export interface Flag {
  /** The name without dashes. */
  readonly name: string
  /** The placeholder of the value in the help text. Absent for a boolean flag. */
  readonly value?: string
  readonly help: string
  readonly choices?: readonly string[]
  readonly required?: boolean
  /** Accepts several values, separated by commas. */
  readonly list?: boolean
  /** Can be repeated. Commas are part of a value. */
  readonly repeat?: boolean
}

export interface Argument {
  readonly name: string
  readonly help: string
  readonly choices?: readonly string[]
  /** Accepts any number of values. Only for the last argument. */
  readonly variadic?: boolean
}

export interface CommandSpec {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  readonly arguments: readonly Argument[]
  readonly flags: readonly Flag[]
  /** The placeholder for the arguments after `--`, which are passed unchanged as the flag value `--`. */
  readonly passThrough?: string
  /** Example command lines with their descriptions. */
  readonly examples: readonly (readonly [line: string, does: string])[]
}

/** The flags that a command receives: in camelCase, with lists split. A flag that is not given is absent. */
export type FlagValues = Readonly<Record<string, string | boolean | readonly string[]>>

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

const PLACEMENTS = ['shared', 'thread', 'process'] as const

const CONFIG: Flag = {
  name: 'config',
  value: 'FILE',
  help: 'config file (default: byre.config.* in this folder)',
}
const SOCKET: Flag = {
  name: 'socket',
  value: 'PATH',
  help: 'control socket (default: the socket of the herd)',
}
const JSON_OUTPUT: Flag = { name: 'json', help: 'print JSON' }
const HOSTING: readonly Flag[] = [
  CONFIG,
  SOCKET,
  { name: 'log-level', value: 'LEVEL', help: 'lowest level that is logged (default: info)', choices: LEVELS },
  {
    name: 'log-format',
    value: 'FORMAT',
    help: 'log format (default: auto, which is pretty on a terminal and journal under systemd)',
    choices: ['auto', 'json', 'pretty', 'journal'],
  },
]
const CONTROL: readonly Flag[] = [
  CONFIG,
  { name: 'group', value: 'GROUP', help: 'select the process that hosts this group' },
  SOCKET,
  {
    name: 'bus',
    value: 'URL',
    help: 'send to all supervisors of the herd over this Redis; for a password use REDIS_URL or @FILE (mode 0600)',
  },
  JSON_OUTPUT,
]
const WORKER: Argument = { name: 'worker', help: 'name of the worker in the config' }

const MEASURE: CommandSpec = {
  name: 'measure',
  summary: 'measure the memory of a command and all its child processes',
  arguments: [{ name: 'line', help: 'shell commands to compare, each one quoted', variadic: true }],
  passThrough: 'command...',
  flags: [
    { name: 'label', value: 'NAME', help: 'label in the file names (default: derived from the command)' },
    { name: 'out', value: 'DIR', help: 'folder of the output files (default: .byre/measure)' },
    { name: 'runs', value: 'N', help: 'number of interleaved runs per command and phase (default: 1)' },
    { name: 'warmup', value: 'N', help: 'number of unrecorded warm-up runs (default: 0)' },
    { name: 'prepare', value: 'LINE', help: 'shell command before each cold run, not measured' },
    {
      name: 'phases',
      value: 'A,B',
      help: 'cold, warm or both (default: cold with --prepare, else warm)',
      list: true,
    },
    { name: 'cleanup', value: 'LINE', help: 'shell command after each run, not measured' },
    {
      name: 'verify',
      value: 'PATH',
      help: 'file or glob that must exist and not be empty after a run; repeatable',
      repeat: true,
    },
    {
      name: 'verify-json',
      value: 'FILE:KEY',
      help: 'key that must exist in a JSON file after a run; repeatable',
      repeat: true,
    },
    {
      name: 'stage',
      value: 'NAME=REGEX',
      help: 'assign processes to a stage by command line, first match wins; repeatable',
      repeat: true,
    },
    {
      name: 'size',
      value: 'NAME=PATH',
      help: 'record the size of a file or folder after a run; repeatable',
      repeat: true,
    },
    {
      name: 'ceiling',
      value: 'SIZE',
      help: 'exit 3 when the peak exceeds this: 8GiB, or peak=, anon=, pss= or uss= with a size',
    },
    {
      name: 'matrix',
      value: 'FILE',
      help: 'run the variants in a JSON file and compare each with the baseline',
    },
    { name: 'limit', value: 'SIZE', help: 'run with this memory limit and report whether the command fits' },
    { name: 'interval-ms', value: 'MS', help: 'interval between two samples (default: 150)' },
    {
      name: 'container',
      value: 'IMAGE',
      help: "run in docker or podman; 'default' is the image of this Node version",
    },
    { name: 'sampled', help: 'sample only, without a cgroup' },
    { name: 'html', value: 'FILE', help: 'write an HTML page with the timeline' },
    { name: 'markdown', value: 'FILE', help: 'write a Markdown report for a pull request' },
    { name: 'prometheus', value: 'FILE', help: 'write metrics for the textfile collector of Prometheus' },
    { name: 'log-max', value: 'SIZE', help: 'size limit for the logged output (default: 1GiB)' },
    { name: 'quiet', help: 'hide the output of the command' },
    { name: 'json-only', help: 'print only one line of JSON' },
  ],
  examples: [
    ['byre measure -- npm run build', 'show the peak, its parts and its processes'],
    [
      "byre measure --stage 'bundle=esbuild|rollup' --runs 5 -- npm run build",
      'show the peak by stage, with the spread of 5 runs',
    ],
    ["byre measure --runs 5 'npm run a' 'npm run b'", 'compare two commands in interleaved runs'],
    ['byre measure --ceiling anon=2GiB -- npm test', 'fail in CI above a ceiling'],
    ['byre measure --matrix experiments.json', 'find the changes that reduce memory'],
  ],
}

const COMPARE: CommandSpec = {
  name: 'compare',
  summary: 'compare two results of byre measure',
  arguments: [
    { name: 'before', help: 'result-LABEL.json of the baseline' },
    { name: 'after', help: 'result-LABEL.json of the change' },
  ],
  flags: [
    { name: 'fail-on', value: 'VERDICT', help: 'exit 3 when a metric is worse', choices: ['worse'] },
    JSON_OUTPUT,
  ],
  examples: [['byre compare before.json after.json --fail-on worse', 'fail in CI when a metric is worse']],
}

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: 'supervise',
    summary: 'host the workers of the config in this process',
    arguments: [],
    flags: [
      ...HOSTING,
      { name: 'group', value: 'GROUP', help: 'host only the workers of this group' },
      { name: 'only', value: 'A,B', help: 'host only these workers', list: true },
      { name: 'explain', help: 'print the start order and restart delays without starting anything' },
    ],
    examples: [
      ['byre supervise', 'host all workers of ./byre.config.js'],
      ['byre supervise --group batch', 'host one group'],
      ['byre supervise --explain', 'show the start order and the restart delays'],
    ],
  },
  {
    name: 'run',
    summary: 'run one worker alone in this process',
    arguments: [WORKER],
    flags: HOSTING,
    examples: [['byre run webhook', 'run one worker with the same contract and bus as in the herd']],
  },
  {
    name: 'status',
    summary: 'show the workers of all running processes of the herd',
    arguments: [],
    flags: CONTROL,
    examples: [
      ['byre status', 'exit 1 if a worker is quarantined, 4 if a process is unreachable'],
      ['byre status --json', 'print JSON for scripts'],
    ],
  },
  control('start', 'start a worker that is stopped, quarantined or dormant', 'byre start webhook'),
  control('stop', 'stop a worker until it is started again', 'byre stop webhook'),
  control('restart', 'stop and start a worker; does not load new code', 'byre restart webhook'),
  control('wake', 'start a dormant worker now', 'byre wake report'),
  control('sleep', 'put a worker to sleep until its next message or tick', 'byre sleep report'),
  {
    ...control('move', 'move a running worker to another placement', 'byre move report --to process'),
    flags: [
      ...CONTROL,
      { name: 'to', value: 'PLACEMENT', help: 'new placement', choices: PLACEMENTS, required: true },
    ],
  },
  {
    ...control('log-level', 'set the log level of a running worker', 'byre log-level webhook debug'),
    arguments: [WORKER, { name: 'level', help: 'lowest level that is logged', choices: LEVELS }],
  },
  {
    name: 'profile',
    summary: 'show which workers of a loop use the CPU or the heap',
    arguments: [WORKER],
    flags: [
      ...CONTROL,
      { name: 'cpu', value: 'TIME', help: 'length of the window, 100ms to 60s (default: 5s)' },
      { name: 'heap', help: 'profile allocations that outlive the window instead of CPU' },
    ],
    examples: [
      ['byre profile webhook', 'profile the CPU of the loop of webhook by worker, for 5 s'],
      ['byre profile webhook --heap --cpu 20s', 'profile the heap for 20 s'],
    ],
  },
  {
    name: 'audit',
    summary: 'show the cost of imports and the savings of cuts, and check them in CI',
    arguments: [
      {
        name: 'entry',
        help: 'file, worker of the config, package, bin, or byre (default: all entries of the floor file)',
        variadic: true,
      },
    ],
    flags: [
      { name: 'check', help: 'check against byre.floor.json; exit 3 when a rule is broken' },
      { name: 'update', help: 'record the lists and the budget in byre.floor.json' },
      { name: 'floor', value: 'FILE', help: 'floor file (default: byre.floor.json)' },
      {
        name: 'cut',
        value: 'A,B',
        help: 'find and prove the fewest imports to cut so that these are not loaded',
        list: true,
      },
      {
        name: 'why',
        value: 'A,B',
        help: 'show the import chain that loads these and what to cut',
        list: true,
      },
      { name: 'what-if', value: 'EDGE', help: "show the savings of a lazy import: 'a.js -> b.js'" },
      { name: 'everywhere', help: 'also propose imports inside packages' },
      { name: 'diff', value: 'FILE', help: 'compare with an earlier --json output' },
      { name: 'node', value: 'PATH', help: 'audit with this node executable' },
      {
        name: 'runs',
        value: 'N',
        help: 'number of runs without the probe (default: 5; 1 for --check without a ceiling)',
      },
      { name: 'proofs', value: 'N', help: 'number of proposals to prove (default: 10; 0 for --check)' },
      {
        name: 'until',
        value: 'PHASE',
        help: 'run the entry and report what it uses until ready or first-message',
      },
      { name: 'env', value: 'K=V,K=V', help: 'environment variables of the audited program', list: true },
      { name: 'fresh', help: 'ignore the cached result' },
      { name: 'html', value: 'FILE', help: 'write an interactive HTML page' },
      { name: 'speedscope', value: 'FILE', help: 'write a profile for speedscope' },
      { name: 'trace', value: 'FILE', help: 'write trace events for Chrome and Perfetto' },
      { name: 'markdown', help: 'print a Markdown report for a pull request' },
      JSON_OUTPUT,
    ],
    examples: [
      ['byre audit dist/cli.js', 'show the cost by package and propose cuts'],
      ['byre audit webhook --cut typeorm', 'find the fewest imports to make lazy, proven by running'],
      ['byre audit --check', 'fail in CI when a rule is broken'],
    ],
  },
  MEASURE,
  COMPARE,
  {
    name: 'units',
    summary: 'print or write the systemd units of the config',
    arguments: [],
    flags: [
      CONFIG,
      { name: 'out', value: 'DIR', help: 'write the units to this folder instead of printing them' },
      {
        name: 'explain',
        help: 'show the permissions of each unit, the workers that need them, and possible splits',
      },
      { name: 'user', value: 'NAME', help: 'user of the units (default: byre)' },
      {
        name: 'individual',
        value: 'PATTERN',
        help: "name pattern of existing units of single workers: 'shop-%w.service'",
      },
      { name: 'watchdog', value: 'TIME', help: 'WatchdogSec= of the units (default: 30s)' },
      JSON_OUTPUT,
    ],
    examples: [
      ['byre units --explain', 'show which worker widens the permissions of its group'],
      ['byre units --out /etc/systemd/system', 'write a unit for each group and for each single worker'],
    ],
  },
  {
    name: 'swap',
    summary: 'replace the units of single workers with the unit of their group, or back',
    arguments: [],
    flags: [
      {
        name: 'to',
        value: 'SIDE',
        help: 'units to run after the swap',
        choices: ['supervised', 'individual'],
      },
      CONFIG,
      { name: 'group', value: 'GROUP', help: 'group to swap; required when the config has several' },
      { name: 'health', value: 'TIME', help: 'how long the new units must stay healthy (default: 10s)' },
      { name: 'dry-run', help: 'print the plan without executing it' },
      { name: 'resume', help: 'finish or roll back an interrupted swap' },
      { name: 'herd', value: 'NAME', help: 'with --resume: name of the herd, without reading a config' },
      JSON_OUTPUT,
    ],
    examples: [
      ['byre swap --to supervised --group batch --dry-run', 'show the plan'],
      ['byre swap --to supervised --group batch', 'swap, and roll back on failure'],
      ['byre swap --to individual --group batch', 'swap back'],
    ],
  },
]

/** Returns the command `name`, or undefined. */
export function findCommand(name: string): CommandSpec | undefined {
  return COMMANDS.find((command) => command.name === name)
}

/** Converts names to camelCase and splits lists at commas. Drops empty parts and flags that are not given. */
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
  return {
    name,
    summary,
    arguments: [WORKER],
    flags: CONTROL,
    examples: [[example, 'return at once and print the new state']],
  }
}
