// Which entries of `stdio` are replaced.
import { inspect } from 'node:util'
import t from 'tap'
import { replaceInherited } from '../../src/ownership/inherited-stdio.ts'

const stream = { fd: 2 }
const other = { fd: 7 }

const ROWS: readonly [stdio: unknown, replaced: unknown][] = [
  ['inherit', ['ignore', 21, 22]],
  ['pipe', 'pipe'],
  [undefined, undefined],
  [
    ['inherit', 'pipe', 'inherit', 'ipc'],
    ['ignore', 'pipe', 22, 'ipc'],
  ],
  [
    [0, 2, 1],
    ['ignore', 22, 21],
  ],
  [
    ['pipe', 'pipe', 1, 1, 'inherit'],
    ['pipe', 'pipe', 21, 21, 'inherit'],
  ],
  [
    [{ fd: 0 }, stream, other, 9, null],
    ['ignore', 22, other, 9, null],
  ],
  [[], []],
]
for (const [stdio, replaced] of ROWS)
  t.test(`stdio ${inspect(stdio, { depth: 0 })}`, async (t) =>
    t.same(
      replaceInherited(stdio, () => [21, 22]),
      replaced,
    ),
  )

t.test('without descriptors stdout and stderr are inherited as in Node', async (t) => {
  t.same(
    replaceInherited('inherit', () => undefined),
    ['ignore', 'inherit', 'inherit'],
  )
})

t.test('no descriptors are opened for a child that inherits neither', async (t) => {
  const opened = (): never => {
    throw new Error('opened')
  }
  t.same(replaceInherited(['inherit', 'pipe', 'ignore'], opened), ['ignore', 'pipe', 'ignore'])
})
