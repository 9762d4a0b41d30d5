// The embedded bus: deliveries of 100-byte payloads per second (each subscriber its own copy), requests, and what a tap,
// a subscription and a scope cost in heap. Every run is a separate process, bound to one core where taskset exists.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { spawnClean } from '../../build/src/measure/spawn-clean.js'
import { buildResult, claim, figuresOf, tableOf } from './lib/result.mjs'

const CHILD = fileURLToPath(new URL('hosts/bus-child.mjs', import.meta.url))
const TASKSET = '/usr/bin/taskset'
const PER_SECOND = 200_000

/** Scenario of the child, and what it says. */
const SCENARIOS = {
  'one-by-one': 'one subscriber, each publish awaited',
  bursts: 'one subscriber, bursts of 500',
  context: 'one subscriber, inside async contexts',
  fanout: '18 subscribers, deliveries together',
  ceiling: 'JSON.parse(JSON.stringify(payload)), no bus',
  request: 'requests, one at a time',
  'tap-bytes': 'a tap',
  'subscription-bytes': 'a subscription',
  'waiting-bytes': 'a subscription with a consumer that waits',
  'scope-bytes': 'a scope',
}

export const describe = 'the embedded bus: deliveries per second, request round trip, heap per subscription'
export const table = tableOf

export async function run(options) {
  const figures = {}
  for (const [scenario, label] of Object.entries(SCENARIOS)) {
    options.note(scenario)
    const samples = []
    for (let i = 0; i < options.runs; i++) samples.push(await measure(options.node, scenario))
    figures[scenario] = figuresOf(label, samples)
  }
  const rate = (scenario) => figures[scenario].find((f) => f.metric === 'perSecond')
  return buildResult('bus', options, {
    // The child runs without the flags of the hosted lanes: heap figures need --expose-gc, rates need nothing.
    settings: { payloadBytes: 100, oneCore: existsSync(TASKSET), v8Flags: [] },
    figures: Object.values(figures).flat(),
    claims: [
      ...['one-by-one', 'bursts', 'context', 'fanout'].map((scenario) =>
        claim(`deliveries per second, ${SCENARIOS[scenario]}`, rate(scenario), PER_SECOND, 'at least'),
      ),
      claim('heap of a tap', figures['tap-bytes'][0], 300),
      claim('heap of a waiting subscription', figures['waiting-bytes'][0], 1536),
    ],
  })
}

async function measure(node, scenario) {
  const flags = scenario.endsWith('-bytes') ? ['--expose-gc'] : []
  const prefix = existsSync(TASKSET) ? [TASKSET, '-c', '0'] : []
  const command = [node, ...flags, CHILD, scenario]
  const child = spawnClean(command, { prefix, stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => (text += chunk))
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code !== 0) throw new Error(`'${command.join(' ')}' exited ${code}`)
  return JSON.parse(text)
}
