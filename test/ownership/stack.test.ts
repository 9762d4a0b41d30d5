import t from 'tap'
import { reachTable } from '../../src/imports/table.ts'
import { framesOf, needsImports, ownerOfStack } from '../../src/ownership/stack.ts'
import type { StackOwners } from '../../src/ownership/stack.ts'

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
    at Socket.<anonymous> (file:///app/b.js?byre=2:3:4)
    at async run (file:///app/awaits.js:3:4)
    at async file:///app/awaits.js:3:4
    at async Promise.all (index 0)
    at /app/lib/c.js:5:6
    at new Thing (/app/d e.js:7:8)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
    at file:///app/e.js:9:10`
  t.same(framesOf(stack), ['/app/a.js', '/app/b.js', '/app/lib/c.js', '/app/d e.js', '/app/e.js'])
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
    t.same(ownerOfStack(trace(paths), owners), expected, title)
  }
})

const trace = (paths: readonly string[]): string =>
  ['Error: x', ...paths.map((path) => `    at f (file://${path}:1:1)`)].join('\n')

t.test('with the imports, the innermost file that one loaded worker alone reaches decides', async (t) => {
  const files = {
    '/app/a.js': ['/app/a.js'],
    '/app/b.js': ['/app/b.js'],
    '/app/twins.js': ['/app/twins.js'],
    '/app/only-a.js': ['/app/a.js'],
    '/app/only-twins.js': ['/app/twins.js'],
    '/app/both.js': ['/app/a.js', '/app/b.js'],
    '/app/late.js': ['/app/a.js', '/app/dormant.js'],
    '/app/driver.js': ['', '/app/a.js'],
    '/app/config.js': [''],
    '/app/gone.js': ['/app/removed.js', '/app/b.js'],
    '/app/src/a.ts': ['/app/a.js'],
  }
  const loaded = new Set(['/app/a.js', '/app/b.js', '/app/twins.js', '/app/removed.js'])
  const known: StackOwners = {
    ...owners,
    reach: reachTable(Object.keys(files), [...Object.keys(files).keys()], Object.values(files)),
    loaded,
  }
  const cases: [title: string, frames: string[], worker: string | undefined][] = [
    ['a helper that only a imports', ['/app/only-a.js', '/app/b.js'], 'a'],
    ['a shared helper is passed over', ['/app/both.js', '/app/b.js'], 'b'],
    ['what byre loads too is shared', ['/app/driver.js'], undefined],
    ['what only the process loads is nobody s', ['/app/config.js'], undefined],
    ['what a dormant worker imports too is not shared yet', ['/app/late.js'], 'a'],
    ['what a removed worker has loaded stays shared', ['/app/gone.js'], undefined],
    ['a helper of two workers with one module', ['/app/only-twins.js'], undefined],
    ['a file that nobody imports', ['/app/unknown.js', '/app/b.js'], 'b'],
    ['a source file', ['/app/src/a.ts'], 'a'],
  ]
  for (const [title, frames, worker] of cases) {
    const expected = worker === undefined ? { kind: 'unknown' } : { kind: 'worker', worker }
    t.same(ownerOfStack(trace(frames), known), expected, title)
    t.equal(needsImports(trace(frames), known), false)
  }
  loaded.add('/app/dormant.js')
  t.same(ownerOfStack(trace(['/app/late.js']), known), { kind: 'unknown' }, 'shared from the load on')
})

t.test('the imports are needed when the innermost frame is in no entry module', async (t) => {
  const cases: [frames: string[], needed: boolean][] = [
    [['/app/a.js', '/app/lib.js'], false],
    [['/app/lib.js', '/app/a.js'], true],
    [['/app/twins.js'], false],
    [['/opt/byre/dist/x.js', '/app/lib.js'], false],
    [[], false],
  ]
  for (const [frames, needed] of cases) t.equal(needsImports(trace(frames), owners), needed, frames.join())
})

t.test('a hostile or missing stack names no owner', async (t) => {
  for (const stack of [undefined, '', 'at (', `at f (file://%zz:1:1)`, 'x\n'.repeat(100_000)])
    t.same(ownerOfStack(stack, owners), { kind: 'unknown' })
})
