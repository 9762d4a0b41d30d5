// Which worker a sample is charged to: the innermost one on the stack, and the owner of the module by the import graph.
import t from 'tap'
import { reachTable } from '../../../src/imports/table.ts'
import { stackOwners } from '../../../src/ownership/stack.ts'
import { attribute, ownersOf } from '../../../src/watch/profile/attribute.ts'
import type { CallNode } from '../../../src/watch/profile/attribute.ts'

const node = (url: string, self: number, ...children: CallNode[]): CallNode => ({
  functionName: url.startsWith('(') ? url : 'f',
  url: url.startsWith('(') ? '' : url,
  line: 1,
  self,
  children,
})
const ownerOf = (url: string): string | undefined => ({ '/a.js': 'a', '/b.js': 'b' })[url]
const isByre = (url: string): boolean => url.startsWith('/byre/')

t.test(
  'shared code is charged to the innermost worker on the stack, and every microsecond once',
  async (t) => {
    const tree = node(
      '(root)',
      0,
      node('(idle)', 500),
      node('(garbage collector)', 7),
      node('/byre/dispatch.js', 3, node('/a.js', 10, node('/shared.js', 20, node('/b.js', 40)))),
      node('/b.js', 1, node('/byre/bus.js', 2), node('(garbage collector)', 4)),
      node('/shared.js', 5),
    )
    const found = attribute(tree, ownerOf, isByre)
    t.same(found, {
      idle: 500,
      byre: 3,
      runtime: 7,
      unattributed: 5,
      total: 92,
      workers: [
        { worker: 'b', self: 47 },
        { worker: 'a', self: 30 },
      ],
      places: [{ where: 'f /shared.js:1', self: 5 }],
    })
  },
)

t.test(
  'a file that only one module reaches belongs to its workers; one that two reach does not',
  async (t) => {
    const files = {
      '/a.mjs': ['/a.mjs'],
      '/b.mjs': ['/b.mjs'],
      '/late.mjs': ['/b.mjs'],
      '/both.mjs': ['/a.mjs', '/b.mjs'],
    }
    const workers = [
      { name: 'a', source: { path: '/a.mjs' } },
      { name: 'b', source: { path: '/b.mjs' } },
      { name: 'c', source: { path: '/b.mjs' } },
    ]
    const entriesOnly = stackOwners(workers, '/byre/')
    const reach = reachTable(Object.keys(files), [...Object.keys(files).keys()], Object.values(files))
    const owner = ownersOf({ ...entriesOnly, reach })
    t.equal(owner('file:///a.mjs'), 'a')
    t.equal(owner('file:///b.mjs'), 'b, c', 'two workers of one module cannot be told apart')
    t.equal(owner('/late.mjs'), 'b, c')
    t.equal(owner('file:///both.mjs'), undefined)
    for (const url of ['file:///unknown.mjs', 'node:fs', '']) t.equal(owner(url), undefined)
    t.equal(ownersOf(entriesOnly)('file:///b.mjs'), 'b, c', 'before the imports are known')
  },
)

t.test('all code but that of byre belongs to a worker that is alone in its loop', async (t) => {
  const owner = ownersOf(stackOwners([], '/byre/'), 'a')
  t.equal(owner('file:///lib/any.mjs'), 'a')
  for (const url of ['file:///byre/bus.js', 'node:fs', '']) t.equal(owner(url), undefined)
})
