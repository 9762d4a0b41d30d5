// Which worker a sample is charged to: the innermost one on the stack, and the owner of the module by the import graph.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
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
  'a file or package that only one worker reaches belongs to it; one that two reach does not',
  async (t) => {
    const folder = mkdtempSync('/tmp/bo-')
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const put = (path: string, text: string): string => {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), text)
      return join(folder, path)
    }
    const a = put(
      'a.mjs',
      `import './only-a.mjs'; import { x } from "./both.mjs"; import '@s/mine/deep'; import 'common'`,
    )
    const b = put(
      'b.mjs',
      `export * from './both.mjs'; const later = () => import('./late.mjs'); require('common')`,
    )
    for (const file of ['only-a.mjs', 'late.mjs']) put(file, '')
    put('both.mjs', `import './only-a.mjs?x'`)
    const owner = ownersOf([
      { name: 'a', modulePath: a },
      { name: 'b', modulePath: b },
      { name: 'c', modulePath: b },
    ])
    const of = (path: string): string | undefined => owner(pathToFileURL(join(folder, path)).href)
    t.equal(of('a.mjs'), 'a')
    t.equal(of('b.mjs'), 'b, c', 'two workers of one module cannot be told apart')
    t.equal(of('late.mjs'), 'b, c')
    t.equal(of('both.mjs'), undefined)
    t.equal(of('only-a.mjs'), undefined, 'reached by b through both.mjs')
    t.equal(of('node_modules/@s/mine/x/y.js'), 'a')
    t.equal(of('node_modules/common/index.js'), undefined)
    t.equal(owner('node:fs'), undefined)
    t.equal(owner(''), undefined)
  },
)
