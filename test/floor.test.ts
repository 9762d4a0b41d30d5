// The tool's own floor: what `byre --help`, `byre supervise` and 'byre/worker' import, recorded in test/floor.json. The
// test fails when one of them loads a package or a builtin more than recorded, or needs clearly more memory.
// BYRE_UPDATE_FLOOR=1 records what is there now (for this Node's major version; run it on each).
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { runCleanNode, startCleanNode } from './helpers/clean-node.ts'
import { leakGuard } from './helpers/leak-guard.ts'

leakGuard(t)

interface Floor {
  /** Packages of which at least one file was loaded. */
  packages: string[]
  /** Public builtins beyond those of a bare node, by major version. */
  builtins: Record<string, string[]>
  /** Anonymous memory beyond a bare node, median of 5, by major version. */
  anonBytes: Record<string, number>
}

/** Above the recorded median by more than this much is not noise: 15 % and one page of V8's heap. */
const ceiling = (bytes: number): number => bytes * 1.15 + 256 * 1024
const RUNS = 5
/** As units/byre starts `supervise` and `run`; for the bare node too, so that it takes nothing off. */
const V8_FLAGS = ['--max-semi-space-size=1']

const here = dirname(fileURLToPath(import.meta.url))
const source = join(here, '../src/')
const record = join(here, '../../test/floor.json')
const major = process.versions.node.split('.')[0]!
const update = process.env['BYRE_UPDATE_FLOOR'] === '1'
const floors = (existsSync(record) ? JSON.parse(readFileSync(record, 'utf8')) : {}) as Record<string, Floor>
const folder = mkdtempSync(join(tmpdir(), 'byre-t-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

// Writes, as the last thing, which builtins were loaded and how much anonymous memory there is.
const witness = join(folder, 'witness.mjs')
writeFileSync(
  witness,
  `import { readFileSync, writeFileSync } from 'node:fs'
process.on('exit', () => {
  const anonKiB = Number(/Anonymous:\\s+(\\d+)/.exec(readFileSync('/proc/self/smaps_rollup', 'latin1'))[1])
  const builtins = process.moduleLoadList.filter((m) => /^NativeModule (?!internal\\/)/.test(m)).map((m) => m.slice(13))
  writeFileSync(process.env.BYRE_FLOOR_OUT, JSON.stringify({ anonBytes: anonKiB * 1024, builtins }))
})
`,
)

interface Seen {
  readonly anonBytes: number
  readonly builtins: string[]
  /** URLs of the files that were evaluated. */
  readonly files: string[]
}

/** Runs `go` with the environment and flags of a watched child; what the child has seen. */
async function watch(
  go: (flags: string[], env: Record<string, string>) => Promise<unknown>,
  coverage: boolean,
): Promise<Seen> {
  const out = mkdtempSync(join(folder, 'run-'))
  const env: Record<string, string> = { BYRE_FLOOR_OUT: join(out, 'witness.json') }
  if (coverage) env['NODE_V8_COVERAGE'] = join(out, 'coverage')
  await go(['--import', witness], env)
  const told = JSON.parse(readFileSync(join(out, 'witness.json'), 'utf8')) as Omit<Seen, 'files'>
  const files = coverage ? evaluatedFiles(join(out, 'coverage')) : []
  return { ...told, files }
}

/** V8's coverage names every script that was evaluated: exact on every version, without a loader hook. */
function evaluatedFiles(coverage: string): string[] {
  const urls = readdirSync(coverage).flatMap((name) => {
    const { result } = JSON.parse(readFileSync(join(coverage, name), 'utf8')) as { result: { url: string }[] }
    return result.map(({ url }) => url)
  })
  return [...new Set(urls)]
    .filter((url) => url.startsWith('file:') && !url.includes('witness.mjs'))
    .map((url) => fileURLToPath(url))
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

type Go = Parameters<typeof watch>[0]
const node =
  (...args: string[]): Go =>
  async (flags, env) => {
    const { code, stderr } = await runCleanNode([...flags, ...args], { env })
    if (code !== 0) throw new Error(`exit ${code}: ${stderr}`)
  }
const importing = (...files: string[]): Go =>
  node(
    ...V8_FLAGS,
    '--input-type=module',
    '-e',
    files.map((file) => `await import(${JSON.stringify(join(source, file))})`).join('\n'),
  )

/** `byre supervise` with one eager worker, until it is ready and told to stop. */
const hosting: Go = async (flags, env) => {
  const cwd = join(folder, 'project')
  mkdirSync(cwd, { recursive: true })
  writeFileSync(
    join(cwd, 'worker.mjs'),
    "export const run = ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve))",
  )
  // The watch for stalls is loaded once the herd is ready: whether before this one's end is a matter of time.
  const config = {
    name: 'floor',
    defaults: { stall: { detect: false } },
    workers: { one: { module: './worker.mjs' } },
  }
  writeFileSync(join(cwd, 'byre.config.json'), JSON.stringify(config))
  const places = { XDG_RUNTIME_DIR: folder, XDG_STATE_HOME: folder }
  const child = startCleanNode(
    [...flags, ...V8_FLAGS, join(source, 'bin.js'), 'supervise', '--log-format', 'json'],
    {
      cwd,
      env: { ...env, ...places },
    },
  )
  try {
    await child.stdout.next('"ready"')
    child.child.kill('SIGTERM')
    const { code } = await child.exit
    if (code !== 0) throw new Error(`exit ${code}: ${child.stderr.all.join('\n')}`)
  } finally {
    await child.kill()
  }
}

const PROGRAMS: readonly { name: string; go: Go; measured: boolean }[] = [
  { name: 'byre --help', go: node(...V8_FLAGS, join(source, 'bin.js'), '--help'), measured: true },
  {
    name: 'byre supervise, imports',
    go: importing('cli/entry.js', 'cli/parse.js', 'cli/run-command.js', 'cli/commands/supervise.js'),
    measured: true,
  },
  // Memory while hosting is a matter of the benchmarks; here is what is loaded, late imports included.
  { name: 'byre supervise, one worker hosted', go: hosting, measured: false },
  { name: 'byre/worker', go: importing('worker.js'), measured: true },
]

async function measure(go: Go): Promise<number> {
  const values: number[] = []
  for (let i = 0; i < RUNS; i++) values.push((await watch(go, false)).anonBytes)
  return median(values)
}

const bare = node(...V8_FLAGS, '--input-type=module', '-e', '0')
const bareBuiltins = new Set((await watch(bare, true)).builtins)
const bareBytes = await measure(bare)

function describeSeen(seen: Seen): Readonly<Record<'modules' | 'packages' | 'builtins', string[]>> {
  const packages = seen.files.flatMap(
    (file) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? [],
  )
  return {
    modules: seen.files
      .filter((file) => file.startsWith(source))
      .map((file) => file.slice(source.length))
      .toSorted(),
    packages: [...new Set(packages)].toSorted(),
    builtins: seen.builtins.filter((name) => !bareBuiltins.has(name)).toSorted(),
  }
}

for (const { name, go, measured } of PROGRAMS) {
  t.test(`${name} loads no more than recorded`, async (t) => {
    const now = describeSeen(await watch(go, true))
    const anonBytes = measured ? (await measure(go)) - bareBytes : undefined
    const floor = (floors[name] ??= { packages: [], builtins: {}, anonBytes: {} })
    if (update) {
      floor.packages = now.packages
      floor.builtins[major] = now.builtins
      if (anonBytes !== undefined) floor.anonBytes[major] = anonBytes
    }
    const more = (what: readonly string[], recorded: readonly string[] | undefined): readonly string[] =>
      recorded === undefined ? [] : what.filter((one) => !recorded.includes(one))
    t.comment(`${now.modules.length} files of byre`)
    t.same(more(now.packages, floor.packages), [], 'packages')
    t.same(more(now.builtins, floor.builtins[major]), [], 'builtins')
    const budget = floor.anonBytes[major]
    if (anonBytes !== undefined && budget !== undefined) {
      const text = `${Math.round(anonBytes / 1024)} KiB over a bare node, recorded ${Math.round(budget / 1024)}`
      t.ok(anonBytes <= ceiling(budget), text)
      t.comment(text)
    }
  })
}

t.test('the record is complete', async (t) => {
  if (update) writeFileSync(record, `${JSON.stringify(floors, undefined, 2)}\n`)
  t.same(Object.keys(floors).toSorted(), PROGRAMS.map(({ name }) => name).toSorted())
  for (const [name, floor] of Object.entries(floors))
    t.ok(floor.builtins['20'], `${name} is recorded on Node 20`)
})

t.test('the witness sees what is loaded', async (t) => {
  const seen = describeSeen(await watch(node('--input-type=module', '-e', "await import('node:http')"), true))
  t.ok(seen.builtins.includes('http'))
  t.ok(
    (await watch(importing('cli/main.js'), true)).files.some((file) =>
      file.includes('/node_modules/commander/'),
    ),
  )
})
