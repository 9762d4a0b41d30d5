import t from 'tap'
import { framesOf, ownerOfStack } from '../../src/ownership/stack.ts'

const owners = {
  byModule: new Map([
    ['/app/a.js', ['a']],
    ['/app/b.js', ['b']],
    ['/app/twins.js', ['x', 'y']],
  ]),
  ownRoot: '/opt/byre/dist/',
}

t.test('reads the paths of every form of frame', async (t) => {
  const stack = `Error: boom (file:///app/no.js:1:1) text
    at fn (file:///app/a.js:1:2)
    at async run (file:///app/b.js?byre=2:3:4)
    at /app/lib/c.js:5:6
    at new Thing (/app/d e.js:7:8)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
    at file:///app/e.js:9:10`
  t.same(framesOf(stack).slice(-5), ['/app/a.js', '/app/b.js', '/app/lib/c.js', '/app/d e.js', '/app/e.js'])
})

t.test('names the worker of the innermost entry module', async (t) => {
  const cases: [string, string[], object][] = [
    ['own frame', ['/app/a.js'], { kind: 'worker', worker: 'a' }],
    [
      'library inside it',
      ['/app/node_modules/lib.js', '/app/b.js', '/app/a.js'],
      { kind: 'worker', worker: 'b' },
    ],
    ['a module that two workers share names neither', ['/app/twins.js'], { kind: 'unknown' }],
    ['byre innermost is byre', ['/opt/byre/dist/x.js', '/app/a.js'], { kind: 'byre' }],
    [
      'byre outside a worker is the worker',
      ['/app/a.js', '/opt/byre/dist/x.js'],
      { kind: 'worker', worker: 'a' },
    ],
    ['byre outside a library is unknown', ['/app/lib.js', '/opt/byre/dist/x.js'], { kind: 'unknown' }],
    ['no frames', [], { kind: 'unknown' }],
  ]
  for (const [title, paths, expected] of cases) {
    const stack = ['Error: x', ...paths.map((p) => `    at f (file://${p}:1:1)`)].join('\n')
    t.same(ownerOfStack(stack, owners), expected, title)
  }
})

t.test('a hostile or missing stack names no owner', async (t) => {
  for (const stack of [undefined, '', 'at (', `at f (file://%zz:1:1)`, 'x\n'.repeat(100_000)])
    t.same(ownerOfStack(stack, owners), { kind: 'unknown' })
})
