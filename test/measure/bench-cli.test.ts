// The command lines of the benchmark scripts: invalid ones are rejected before anything starts.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { runCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
// From build/test/measure to the repository.
const script = (name: string): string => fileURLToPath(new URL(`../../../scripts/${name}`, import.meta.url))

t.test('scripts/bench.mjs lists its parts, each with one line', async (t) => {
  const { code, stdout } = await runCleanNode([script('bench.mjs'), '--help'])
  t.equal(code, 0)
  for (const name of [
    'audit',
    'bus',
    'chaos',
    'check',
    'control',
    'dormant',
    'herd',
    'idle',
    'malloc',
    'measure',
    'placement',
    'scale',
    'stall',
  ])
    t.match(stdout, new RegExp(`^  ${name} +\\S.{20,}$`, 'm'))
})

t.test('an invalid command line exits 2 with the reason', async (t) => {
  const rows = [
    [['bench.mjs', 'nope'], /'nope': give one of audit/],
    [['bench.mjs', 'herd', 'idle'], /'herd idle': give one of/],
    [['bench.mjs', 'herd', '--runs', '0'], /--runs: a whole number from 1 to 1000 is needed, got '0'/],
    [['bench.mjs', 'herd', '--runs', '2.5'], /got '2\.5'/],
    [['bench.mjs', 'herd', '--settle', '10'], /--settle: a duration such as '10s' is needed, got '10'/],
    [['bench.mjs', 'herd', '--node', '/no/such/node'], /'\/no\/such\/node' does not run \(ENOENT\)/],
    [['bench.mjs', 'herd', '--nope'], /Unknown option '--nope'/],
    [['runtimes.mjs', '21'], /Cannot install node 21: the supported versions are 20, 22, 24, 26/],
  ] as const
  for (const [[name, ...args], message] of rows) {
    const { code, stdout, stderr } = await runCleanNode([script(name), ...args])
    t.equal(code, 2, args.join(' '))
    t.equal(stdout, '')
    t.match(stderr, message)
  }
})

t.test('the hosted lanes run under the V8 flags of the launcher', async (t) => {
  const flags = /V8_FLAGS = \['([^']+)'\]/.exec(readFileSync(script('benches/lib/flags.mjs'), 'utf8'))![1]!
  const launcher = readFileSync(script('../units/byre'), 'utf8')
  t.match(launcher, `BYRE_NODE_FLAGS-${flags}}`)
  const malloc = /MALLOC_ENV = \{ (\w+): '(\d+)' \}/.exec(
    readFileSync(script('benches/lib/flags.mjs'), 'utf8'),
  )!
  t.match(launcher, `export ${malloc[1]}=${malloc[2]} `)
})
