import fc from 'fast-check'
import t from 'tap'
import { type Ordered, startOrder } from '../../src/config/order.ts'

const worker = (name: string, after: string[] = [], requires: string[] = []): Ordered => ({
  name,
  after,
  requires,
})

t.test(
  'levels follow after and requires and keep the config order; references to other groups are ignored',
  async (t) => {
    t.same(startOrder([]), [])
    t.same(startOrder([worker('b'), worker('a')]), [['b', 'a']])
    t.same(
      startOrder([worker('c', ['b']), worker('b', [], ['a']), worker('z'), worker('a', ['elsewhere'])]),
      [['z', 'a'], ['b'], ['c']],
    )
    t.same(
      startOrder([worker('d', ['b', 'c'], ['b']), worker('c', ['a', 'a']), worker('b', ['a']), worker('a')]),
      [['a'], ['c', 'b'], ['d']],
    )
  },
)

t.test('a cycle is an error that names its members', async (t) => {
  t.throws(() => startOrder([worker('x'), worker('a', ['b']), worker('b', [], ['a'])]), {
    code: 'BYRE_CONFIG_INVALID',
    message: /cycle among a, b/,
  })
})

/** Any acyclic set of workers: references go to lower indices only, and the order is shuffled afterwards. */
const herds = fc.integer({ min: 1, max: 30 }).chain((n) =>
  fc
    .tuple(
      ...Array.from({ length: n }, (_, i) =>
        fc.record({
          name: fc.constant(`w${i}`),
          after: fc.array(
            fc.nat({ max: n + 2 }).map((j) => (j < i || j >= n ? `w${j}` : `w${n + 9}`)),
            { maxLength: 4 },
          ),
          requires: fc.array(
            fc.nat({ max: Math.max(0, i - 1) }).map((j) => (j < i ? `w${j}` : 'none')),
            { maxLength: 2 },
          ),
        }),
      ),
    )
    .chain((list) => fc.shuffledSubarray(list, { minLength: n })),
)

t.test(
  'every worker once, never before what it waits for, each as early as it can, config order within a level',
  async () => {
    fc.assert(
      fc.property(herds, (workers: readonly Ordered[]) => {
        const levels = startOrder(workers)
        const level = new Map(levels.flatMap((names, i) => names.map((name) => [name, i] as const)))
        const position = new Map(workers.map((w, i) => [w.name, i]))
        const earliest = workers.every((w) => {
          const needed = [...w.after, ...w.requires]
            .filter((name) => level.has(name))
            .map((name) => level.get(name)!)
          return level.get(w.name) === Math.max(-1, ...needed) + 1
        })
        const ordered = levels.every((names) =>
          names.every((name, i) => i === 0 || position.get(names[i - 1]!)! < position.get(name)!),
        )
        return earliest && ordered && levels.flat().length === workers.length
      }),
    )
  },
)

t.test('a chain of 10,000 workers is ordered in bounded time', async (t) => {
  const chain = Array.from({ length: 10_000 }, (_, i) => worker(`w${i}`, i > 0 ? [`w${i - 1}`] : []))
  t.equal(startOrder(chain).length, 10_000)
})
