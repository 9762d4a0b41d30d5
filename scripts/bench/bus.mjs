// Figures of the embedded bus: deliveries of 100-byte payloads per second (each subscriber its own copy), requests,
// and what a tap, a subscription and a scope cost in heap. Every run is a process of its own, started with an empty
// environment and, where taskset exists, bound to one core. Needs dist/ (npm run build).
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { spawnClean } from '../../dist/measure/spawn-clean.js'
import { summarize } from '../../dist/measure/stats.js'

const CHILD = fileURLToPath(new URL('bus-child.mjs', import.meta.url))
const TASKSET = '/usr/bin/taskset'

/** scenario, figure, what it says, the bound it must keep. */
const FIGURES = [
  ['one-by-one', 'perSecond', 'deliveries/s, publisher awaits each publish', { atLeast: 200_000 }],
  ['one-by-one', 'perCpuSecond', 'the same, per second of CPU'],
  ['bursts', 'perSecond', 'deliveries/s, bursts of 500', { atLeast: 200_000 }],
  ['context', 'perSecond', 'deliveries/s, inside async contexts', { atLeast: 200_000 }],
  ['fanout', 'perSecond', 'deliveries/s to 18 subscribers together', { atLeast: 200_000 }],
  ['ceiling', 'perSecond', 'JSON.parse(JSON.stringify(payload))/s, no bus'],
  ['request', 'perSecond', 'requests/s, one at a time'],
  ['request', 'p50Ms', 'request round trip, p50, ms'],
  ['request', 'p99Ms', 'request round trip, p99, ms'],
  ['tap-bytes', 'bytes', 'heap bytes per tap', { below: 300 }],
  ['subscription-bytes', 'bytes', 'heap bytes per subscription'],
  ['waiting-bytes', 'bytes', 'heap bytes per subscription with a consumer that waits', { below: 1536 }],
  ['scope-bytes', 'bytes', 'heap bytes per scope'],
]

/** `{version, node, cpu, figures: [{scenario, figure, label, median, mad, min, max, n, bound?, ok?}]}`; 5 runs or more. */
export async function run({ runs = 5, node = process.execPath } = {}) {
  const count = Math.max(5, runs)
  const samples = new Map()
  for (const scenario of new Set(FIGURES.map(([name]) => name))) {
    samples.set(scenario, [])
    for (let i = 0; i < count; i++) samples.get(scenario).push(await measure(node, scenario))
  }
  const figures = FIGURES.map(([scenario, figure, label, bound]) => {
    const summary = summarize(samples.get(scenario).map((sample) => sample[figure]))
    return {
      scenario,
      figure,
      label,
      ...summary,
      ...(bound === undefined ? {} : { bound, ok: keeps(summary, bound) }),
    }
  })
  return {
    version: 1,
    name: 'bus',
    node: await versionOf(node),
    oneCore: existsSync(TASKSET),
    payloadBytes: 100,
    figures,
  }
}

/** The lines of a table; one figure each, with the bound it must keep. */
export function table(result) {
  const head = `embedded bus, node ${result.node}, payload ${result.payloadBytes} bytes${result.oneCore ? ', bound to one core' : ''}`
  const rows = result.figures.map((f) => [
    f.label,
    show(f.median),
    `${show(f.min)} .. ${show(f.max)}`,
    String(f.n),
    verdict(f),
  ])
  const all = [['', 'median', 'spread', 'runs', 'bound'], ...rows]
  const widths = all[0].map((_, column) => Math.max(...all.map((row) => row[column].length)))
  return [
    head,
    ...all.map((row) =>
      row
        .map((cell, c) => (c === 0 || c === 4 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
        .join('  ')
        .trimEnd(),
    ),
  ]
}

async function measure(node, scenario) {
  const flags = scenario.endsWith('-bytes') ? ['--expose-gc'] : []
  return JSON.parse(await output([node, ...flags, CHILD, scenario]))
}

async function versionOf(node) {
  return (await output([node, '--version'])).trim()
}

async function output(command) {
  const prefix = existsSync(TASKSET) ? [TASKSET, '-c', '0'] : []
  const child = spawnClean(command, { prefix, stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => (text += chunk))
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code !== 0) throw new Error(`'${command.join(' ')}' exited ${code}`)
  return text
}

function keeps({ median }, { atLeast, below }) {
  return (atLeast === undefined || median >= atLeast) && (below === undefined || median < below)
}

function verdict({ bound, ok }) {
  if (bound === undefined) return ''
  const rule = bound.atLeast === undefined ? `< ${show(bound.below)}` : `>= ${show(bound.atLeast)}`
  return `${rule} ${ok ? 'ok' : 'BROKEN'}`
}

function show(value) {
  return value < 10 ? value.toFixed(4) : Math.round(value).toLocaleString('en-US')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [runs = '5', node = process.execPath] = process.argv.slice(2)
  const result = await run({ runs: Number(runs), node })
  process.stdout.write(`${JSON.stringify(result)}\n${table(result).join('\n')}\n`)
  process.exitCode = result.figures.every((f) => f.ok !== false) ? 0 : 3
}
