import t from 'tap'
import { inheritedFlags } from '../../src/placement/launch-settings.ts'

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
  { title: 'a script inherits no flags', source: SCRIPT, flags: [] },
  {
    title: 'a lean script inherits the flags of code and of memory',
    source: SCRIPT,
    lean: true,
    flags: ['--import', './g.js', '-r', 'x', '--max-semi-space-size=1', '--no-warnings'],
  },
  {
    title: 'a module inherits the flags of code, which also apply in the shared loop',
    source: MODULE,
    flags: ['--import', './g.js', '-r', 'x', '--no-warnings'],
  },
  {
    title: 'a lean module also inherits the flags of memory',
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
