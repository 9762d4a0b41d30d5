import t from 'tap'
import { inheritedFlags } from '../../src/placement/process-launch.ts'

const FLAGS = [
  '--import',
  './g.js',
  '--inspect',
  '-r',
  'x',
  '--max-semi-space-size=1',
  '--expose-gc',
  '--no-warnings',
]
const MODULE = { kind: 'module', path: '/w.js' } as const
const SCRIPT = { kind: 'script', path: '/w.js', args: [] } as const

for (const { title, source, lean, flags } of [
  { title: 'a script has none', source: SCRIPT, flags: [] },
  {
    title: 'a lean script has those of code and of memory',
    source: SCRIPT,
    lean: true,
    flags: ['--import', './g.js', '-r', 'x', '--max-semi-space-size=1', '--no-warnings'],
  },
  {
    title: 'a module has those of code, which it has in the shared loop as well',
    source: MODULE,
    flags: ['--import', './g.js', '-r', 'x', '--no-warnings'],
  },
  {
    title: 'a lean module has those of memory besides',
    source: MODULE,
    lean: true,
    flags: ['--import', './g.js', '-r', 'x', '--max-semi-space-size=1', '--no-warnings'],
  },
] as const)
  t.test(`${title}, each with its value`, async (t) => {
    const spec = lean === undefined ? { source } : { source, lean }
    t.same(inheritedFlags(FLAGS, spec), flags)
    t.same(inheritedFlags([], spec), [])
  })
