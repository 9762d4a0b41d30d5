// What `byre measure` reads beside GNU time, cgmemtime, psrecord and mprof on the same commands, and what measuring costs.
// Other tools are taken from PATH, or from BYRE_BENCH_TOOLS (folders as in PATH); the ones that are not there are named.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildTwice } from './lib/build-twice.mjs'
import { interleave } from './lib/lanes.mjs'
import { buildResult, claim, figuresOf, tableOf } from './lib/result.mjs'
import { readTreeMemory } from '../../build/src/measure/tree-memory.js'
import { spawnClean } from '../../build/src/measure/spawn-clean.js'

const BYRE = fileURLToPath(new URL('../../dist/bin.js', import.meta.url))
const TIMEOUT_MS = 120_000

export const describe =
  'byre measure compared with GNU time, cgmemtime, psrecord and mprof; overhead of measuring'
export const table = tableOf

const hold = (bytes, then) => `perl -e 'vec($x, ${bytes}, 8) = 1; ${then}'`
const wait = (ms) => `select undef, undef, undef, ${ms / 1000}`

/** Commands whose memory is known by construction. */
export const COMMANDS = {
  'freed in a grandchild, 300 MB': {
    line: 'sh -c "dd if=/dev/zero of=/dev/null bs=300MB count=1 2>/dev/null; true"; true',
    truthBytes: 300e6,
  },
  'held 500 ms, 300 MB': { line: hold(300e6, wait(500)), truthBytes: 300e6 },
  'two children, 200 MB each': {
    line: `${hold(200e6, wait(1000))} & ${hold(200e6, wait(1000))} & wait`,
    truthBytes: 400e6,
  },
  '40 processes share 500 MB': {
    line: hold(500e6, `for (1 .. 39) { fork or do { ${wait(5000)}; exit } } ${wait(5000)}; 1 while wait > 0`),
    truthBytes: 500e6,
  },
}

export async function run(options) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-bench-measure-'))
  try {
    return await measureAll(options, folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measureAll(options, folder) {
  const tools = findTools(options.node, folder)
  const figures = []
  const claims = []
  for (const [name, { line, truthBytes }] of Object.entries(COMMANDS)) {
    const lanes = Object.fromEntries(tools.found.map((tool) => [tool.name, async () => tool.read(line)]))
    const runs = await interleave(lanes, options.runs, (text) => options.note(`${name}: ${text}`))
    for (const [tool, values] of Object.entries(runs)) {
      const lane = `${name} | ${tool}`
      const off = values.map((one) => ({ ...one, offRatio: Math.abs(one.peakBytes / truthBytes - 1) }))
      figures.push(...figuresOf(lane, off))
      if (tool === 'byre measure' && !name.startsWith('40'))
        claims.push(claim(`${name}: off the truth`, figures.at(-1), 0.03))
    }
  }
  const cost = await overhead(options, folder)
  const build = buildTwice(options, folder)
  const same = {
    metric: 'differencesCount',
    median: build.rows.filter((row) => /better|worse/.test(row.verdict)).length,
  }
  return buildResult('measure', options, {
    settings: { commands: COMMANDS },
    figures: [
      ...figures,
      ...cost.figures,
      ...Object.entries(build.runs).flatMap(([phase, runs]) => figuresOf(`build, ${phase}`, runs)),
    ],
    claims: [...claims, ...cost.claims, claim('differences shown between two equal builds', same, 0)],
    notes: [
      ...tools.missing.map((name) => `${name} is not on this machine`),
      ...build.drives,
      `compare of two equal builds: ${build.verdict}`,
    ],
  })
}

function sh(command, env = {}) {
  const done = spawnSync(
    '/usr/bin/env',
    ['-i', `PATH=${process.env.PATH}`, ...Object.entries(env).map(([k, v]) => `${k}=${v}`), ...command],
    {
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      maxBuffer: 64e6,
    },
  )
  if (done.error) throw done.error
  return done
}

function findTools(node, folder) {
  const byre = (more) => (line) => {
    const done = sh([node, BYRE, 'measure', '--json-only', '--out', folder, ...more, line])
    const { metrics } = JSON.parse(done.stdout.slice(done.stdout.indexOf('{'))).runs[0]
    return { peakBytes: metrics.peakBytes }
  }
  const all = [
    { name: 'byre measure', read: byre([]) },
    { name: 'byre measure --sampled', read: byre(['--sampled']) },
    {
      name: 'GNU time',
      program: 'time',
      read: (line, path) => ({
        peakBytes: Number(/\d+\s*$/.exec(sh([path, '-f', '%M', 'sh', '-c', line]).stderr)[0]) * 1024,
      }),
    },
    {
      name: 'cgmemtime',
      program: 'cgmemtime',
      read: (line, path) => ({
        peakBytes: Number(sh([path, '-t', 'sh', '-c', line]).stderr.trim().split(';').at(-1)) * 1024,
      }),
    },
    {
      name: 'psrecord',
      program: 'psrecord',
      read: (line, path) => {
        const log = join(folder, 'psrecord.txt')
        sh([path, '--include-children', '--interval', '0.1', '--log', log, line])
        const rows = readFileSync(log, 'utf8')
          .split('\n')
          .filter((row) => /^\s*\d/.test(row))
        return { peakBytes: Math.max(...rows.map((row) => Number(row.trim().split(/\s+/)[2]))) * 1024 ** 2 }
      },
    },
    {
      name: 'mprof',
      program: ['mprof', 'python3-mprof'],
      read: (line, path) => {
        const file = join(folder, 'mprof.dat')
        sh([path, 'run', '--include-children', '--interval', '0.1', '--output', file, 'sh', '-c', line])
        const rows = readFileSync(file, 'utf8')
          .split('\n')
          .filter((row) => row.startsWith('MEM '))
        return { peakBytes: Math.max(...rows.map((row) => Number(row.split(' ')[1]))) * 1024 ** 2 }
      },
    },
  ]
  const found = []
  const missing = []
  for (const tool of all) {
    const path = tool.program && [tool.program].flat().map(findProgram).find(Boolean)
    if (tool.program && !path) missing.push(tool.name)
    else found.push({ name: tool.name, read: (line) => tool.read(line, path) })
  }
  return { found, missing }
}

function findProgram(name) {
  const folders = `${process.env.BYRE_BENCH_TOOLS ?? ''}:${process.env.PATH}`.split(':').filter(Boolean)
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/** The same fixed work alone and measured: its own wall time, and the memory byre and its launcher hold meanwhile. */
async function overhead(options, folder) {
  // A fixed amount of work in four processes, timed by itself, so that the start of byre is not in it.
  const script = `use Time::HiRes 'time'; my $t = time; my $n = 0; my @p; for (1 .. 4) { my $p = fork; if (!$p) { $n += $_ % 7 for 1 .. 8_000_000; exit } push @p, $p } waitpid $_, 0 for @p; print STDERR "took ", time - $t, "\\n"`
  const file = join(folder, 'work.pl')
  writeFileSync(file, script)
  const took = (text) => Number(/took ([\d.]+)/.exec(text)[1]) * 1000
  const lanes = {
    alone: async () => ({ wallMs: took(sh(['perl', file]).stderr) }),
    measured: async () => {
      const done = sh([options.node, BYRE, 'measure', '--out', folder, '--label', 'cost', '--', 'perl', file])
      return { wallMs: took(done.stderr) }
    },
  }
  const runs = await interleave(lanes, options.runs, (text) => options.note(`overhead: ${text}`))
  const memory = []
  for (let run = 0; run < options.runs; run++) memory.push(await outsideMemory(options, folder))
  const figures = [
    ...figuresOf('work alone', runs.alone),
    ...figuresOf('work measured', runs.measured),
    ...figuresOf(
      'wall of measured over alone, less 1',
      runs.measured.map((one, i) => ({ costRatio: one.wallMs / runs.alone[i].wallMs - 1 })),
    ),
    ...figuresOf('byre and its launcher, 3 s into a run', memory),
  ]
  const [wall, anon] = [figures[2], figures.find((one) => one.metric === 'anonBytes')]
  return {
    figures,
    claims: [
      claim('wall time that measuring costs', wall, 0.02),
      claim('memory outside the measured tree', anon, 25e6),
    ],
  }
}

async function outsideMemory(options, folder) {
  const child = spawnClean([
    options.node,
    BYRE,
    'measure',
    '--quiet',
    '--out',
    folder,
    '--label',
    'memory',
    'sleep 6',
  ])
  child.stdout.resume()
  child.stderr.resume()
  const ended = new Promise((resolve) => child.once('close', resolve))
  await new Promise((resolve) => setTimeout(resolve, 3000))
  const { processes } = readTreeMemory(child.pid)
  const own = processes.filter((one) => one.pid === child.pid || one.comm === 'perl')
  await ended
  const sum = (key) => own.reduce((total, one) => total + one[key], 0)
  return { anonBytes: sum('anonBytes'), pssBytes: sum('pssBytes'), processesCount: own.length }
}
