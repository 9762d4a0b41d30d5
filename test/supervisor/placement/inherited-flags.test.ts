import t from 'tap'
import { inheritedFlags } from '../../../src/supervisor/placement/process.ts'

t.test('a child takes the flags that are for it, each with its value', async (t) => {
  t.same(
    inheritedFlags([
      '--import',
      './g.js',
      '--inspect',
      '-r',
      'x',
      '--import=y',
      '--expose-gc',
      '--no-warnings',
    ]),
    ['--import', './g.js', '-r', 'x', '--import=y', '--no-warnings'],
  )
  t.same(inheritedFlags([]), [])
})
