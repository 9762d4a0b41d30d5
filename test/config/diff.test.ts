import fc from 'fast-check'
import t from 'tap'
import { diffHerd, sameJson } from '../../src/config/diff.ts'
import type { ResolvedHerd, ResolvedWorker } from '../../src/config/types.ts'
import { herdOf, one } from './herd.ts'

const base = await herdOf({
  name: 'shop',
  bus: 'redis://u:hunter2@h',
  workers: { w: { module: './workers/a.js' } },
})
const template = base.workers[0]!
const make = (name: string, keys: Partial<ResolvedWorker> = {}): ResolvedWorker => ({
  ...template,
  name,
  ...keys,
})
const herd = (...workers: ResolvedWorker[]): ResolvedHerd => ({ ...base, workers })

t.test(
  'the difference lists added, removed and unchanged workers, and changed ones with their keys',
  async (t) => {
    const before = herd(make('a'), make('b', { weight: 2 }), make('c'), make('d', { memoryMaxBytes: 5 }))
    const after = herd(make('d'), make('new'), make('b', { weight: 3, config: { x: 1 } }), make('a'))
    t.same(diffHerd(before, after), {
      refused: [],
      added: ['new'],
      removed: ['c'],
      changed: [
        { name: 'd', keys: ['memoryMaxBytes'] },
        { name: 'b', keys: ['config', 'weight'] },
      ],
      unchanged: ['a'],
      settings: [],
    })
  },
)

t.test(
  'a changed bus, http or name is refused without quoting an address; settings are listed separately',
  async (t) => {
    const after: ResolvedHerd = {
      ...base,
      name: 'other',
      bus: { kind: 'redis', url: 'redis://u:hunter3@h' },
      http: { host: '127.0.0.1', port: 1 },
      sampler: { enabled: false, intervalMs: 1 },
      groups: {},
    }
    const diff = diffHerd(base, after)
    t.same(
      diff.refused.map((p) => p.path),
      ['name', 'bus', 'http'],
    )
    t.match(
      diff.refused[0]?.message,
      /cannot change while the herd runs \(from 'shop' to 'other'\)\. Restart byre/,
    )
    t.notMatch(JSON.stringify(diff), /hunter/)
    t.same(diff.settings, ['groups', 'sampler'])
    t.same(diff.unchanged, ['w'])
  },
)

t.test('equal values in another notation are not a difference', async (t) => {
  const one1 = await herdOf(one({ stopTimeout: '60s', memoryMax: '1GiB', config: { a: 1, b: [2] } }))
  const two = await herdOf(
    one({ memoryMax: '1024MiB', stopTimeout: '1m', config: { b: [2], a: 1 }, restart: 'on-failure' }),
  )
  t.same(diffHerd(one1, two), {
    refused: [],
    added: [],
    removed: [],
    changed: [],
    unchanged: ['w'],
    settings: [],
  })
})

const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'toString'), { maxLength: 6 })
const herds = names.chain((list) =>
  fc
    .tuple(
      ...list.map((name) =>
        fc
          .record({ weight: fc.integer({ min: 1, max: 2 }), config: fc.jsonValue({ maxDepth: 2 }) })
          .map((k) => make(name, k as Partial<ResolvedWorker>)),
      ),
    )
    .map((workers) => herd(...workers)),
)

t.test('property: the four lists partition both herds, and a herd equals its own copy', async () => {
  fc.assert(
    fc.property(herds, herds, (before, after) => {
      const diff = diffHerd(before, after)
      const changed = diff.changed.map((c) => c.name)
      const sorted = (list: readonly string[]): string => list.toSorted().join()
      const namesOf = (h: ResolvedHerd): string[] => h.workers.map((w) => w.name)
      const copy = JSON.parse(JSON.stringify(before)) as ResolvedHerd
      const self = diffHerd(before, { ...copy, workers: copy.workers.toReversed() })
      return (
        sorted([...diff.added, ...changed, ...diff.unchanged]) === sorted(namesOf(after)) &&
        sorted([...diff.removed, ...changed, ...diff.unchanged]) === sorted(namesOf(before)) &&
        diff.changed.every((c) => c.keys.length > 0) &&
        self.unchanged.length === before.workers.length
      )
    }),
  )
})

t.test(
  'property: workers added in one direction are removed in the other; changes are the same',
  async () => {
    fc.assert(
      fc.property(herds, herds, (a, b) => {
        const [there, back] = [diffHerd(a, b), diffHerd(b, a)]
        const text = (diff: typeof there): string =>
          JSON.stringify(diff.changed.toSorted((x, y) => x.name.localeCompare(y.name)))
        return sameJson(there.added, back.removed) && text(there) === text(back)
      }),
    )
  },
)

t.test('property: sameJson agrees with canonical JSON text', async () => {
  const canonical = (value: unknown): string =>
    JSON.stringify(value, (_, v: unknown) =>
      typeof v === 'object' && v !== null && !Array.isArray(v)
        ? Object.fromEntries(Object.entries(v).toSorted(([x], [y]) => (x < y ? -1 : 1)))
        : v,
    )
  const value = fc.jsonValue({ maxDepth: 3 }).map((v): unknown => JSON.parse(JSON.stringify(v)))
  fc.assert(
    fc.property(
      value,
      value,
      (a, b) => sameJson(a, b) === (canonical(a) === canonical(b)) && sameJson(a, JSON.parse(canonical(a))),
    ),
  )
})
