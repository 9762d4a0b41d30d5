import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { diffResults } from '../../src/audit/diff.ts'
import {
  emptyFloorEntry,
  emptyFloorFile,
  formatFloorFile,
  parseFloorFile,
  readFloorFile,
  writeFloorFile,
  type FloorEntry,
} from '../../src/audit/floor-file.ts'
import { describeFinding, judgeFloor, updateFloor } from '../../src/audit/gate.ts'
import { resultOf } from './results.ts'

const MIB = 1024 * 1024
const exists = (name: string): boolean => name !== 'typo'
const rules = (entry: Partial<FloorEntry>, result = resultOf(), phase: 'load' | 'ready' = 'load'): string[] =>
  judgeFloor(result, 'main.js', { ...emptyFloorEntry(), ...entry }, MIB, exists, phase).findings.map((f) =>
    'packageName' in f ? `${f.rule} ${f.packageName}` : f.rule,
  )

t.test('packages: the loaded ones are compared with the lists', async (t) => {
  const table: readonly [string, Partial<FloorEntry>, string[]][] = [
    ['nothing listed', {}, ['not-allowed orm', 'not-allowed driver', 'not-allowed late']],
    ['a dependency of an allowed package needs no entry', { allow: { orm: 'load' } }, ['not-allowed late']],
    ['all allowed', { allow: { orm: 'load', late: 'boot' } }, []],
    ['may absorbs', { allow: { orm: 'load' }, may: ['late', 'absent'] }, []],
    ['stale', { allow: { orm: 'load', late: 'load', gone: 'load' } }, ['stale-allow gone']],
    ['not yet due is not stale', { allow: { orm: 'load', late: 'load', gone: 'ready' } }, []],
    ['too early', { allow: { orm: 'ready', late: 'load' } }, ['too-early orm']],
    ['denied, though light', { allow: { orm: 'load', late: 'load' }, deny: ['tiny'] }, ['denied tiny']],
    ['deny wins over allow', { allow: { orm: 'load', late: 'load' }, deny: ['orm'] }, ['denied orm']],
    ['a deny of nothing', { allow: { orm: 'load', late: 'load' }, deny: ['typo'] }, ['unknown-deny typo']],
    ['a deny of something absent', { allow: { orm: 'load', late: 'load' }, deny: ['other'] }, []],
  ]
  for (const [name, entry, expected] of table) t.same(rules(entry), expected, name)
  t.same(rules({ allow: { orm: 'ready', late: 'load' } }, resultOf(), 'ready'), [], 'the phase has come')
})

t.test('budget: a 3 % regression fails, noise and another Node version do not', async (t) => {
  const lists = { allow: { orm: 'load', late: 'load' } } as const
  const budgets = { '24': { calibratedBytes: 10 * MIB } }
  const floor = (bytes: number): string[] =>
    rules({ ...lists, budgets }, resultOf({ calibratedBytes: bytes }))
  t.same(floor(10 * MIB), [])
  t.same(floor(10.1 * MIB), [], 'within 1 %')
  t.same(floor(10.3 * MIB), ['budget'])
  t.same(floor(9 * MIB), [], 'less is no failure')
  const small = { ...lists, budgets: { '24': { calibratedBytes: 100_000 } } }
  t.same(rules(small, resultOf({ calibratedBytes: 100_000 + 65_000 })), [], 'within 64 KiB')
  t.same(rules(small, resultOf({ calibratedBytes: 100_000 + 66_000 })), ['budget'])
  const verdict = judgeFloor(
    resultOf({ nodeVersion: '22.1.0' }),
    'main.js',
    { ...emptyFloorEntry(), budgets },
    MIB,
    exists,
  )
  t.match(verdict.notes, [/no budget is recorded for Node 22/])
})

t.test('maxAnonBytes: three times the measured spread is tolerated', async (t) => {
  const entry = {
    allow: { orm: 'load', late: 'load' },
    budgets: { '24': { calibratedBytes: 10 * MIB, maxAnonBytes: 50 * MIB } },
  } as const
  const at = (median: number, spread: number): string[] =>
    rules(entry, resultOf({ anon: { medianBytes: median, spreadBytes: spread, runs: 5 } }))
  t.same(at(50 * MIB, 0), [])
  t.same(at(52 * MIB, MIB), [])
  t.same(at(54 * MIB, MIB), ['ceiling'])
})

t.test('every finding is a sentence with its chain and its remedy', async (t) => {
  const entry = {
    ...emptyFloorEntry(),
    allow: { gone: 'load', late: 'ready' },
    deny: ['tiny', 'typo'],
    budgets: { '24': { calibratedBytes: 1, maxAnonBytes: 1 } },
  } as const
  const texts = judgeFloor(resultOf(), 'main.js', entry, MIB, exists).findings.map(describeFinding)
  t.match(
    texts[0],
    /^orm \(\d+\.\d MB\) is loaded eagerly but is not on the allow list: main\.js:1 -> orm\/index\.js\. \w/,
  )
  for (const text of texts) t.match(text, /\. [A-Z].*\.$|\)\.$/, text)
  t.equal(new Set(texts.map((x) => x.replace(/[\d.]+/g, ''))).size, texts.length)
})

t.test('--update records just enough to pass, and keeps manual entries', async (t) => {
  const before = {
    ...emptyFloorFile(),
    entries: {
      other: emptyFloorEntry(),
      'main.js': {
        allow: { gone: 'load', later: 'ready' },
        may: ['tiny'],
        deny: ['typo2'],
        budgets: { '20': { calibratedBytes: 5 }, '24': { calibratedBytes: 5, maxAnonBytes: 7 } },
      },
    },
  } as const
  const after = updateFloor(before, 'main.js', resultOf())
  t.same(after.entries['main.js'], {
    allow: { later: 'ready', orm: 'load', late: 'load' },
    may: ['tiny'],
    deny: ['typo2'],
    budgets: { '20': { calibratedBytes: 5 }, '24': { calibratedBytes: 10 * MIB, maxAnonBytes: 7 } },
  })
  t.same(after.entries['other'], emptyFloorEntry())
  t.same(
    judgeFloor(
      resultOf(),
      'main.js',
      updateFloor(emptyFloorFile(), 'main.js', resultOf()).entries['main.js']!,
      MIB,
      exists,
    ).findings,
    [],
  )
})

t.test(
  'the floor file is written sorted, read back unchanged, and refused with all its problems',
  async (t) => {
    const folder = t.testdir({})
    const path = join(folder, 'byre.floor.json')
    t.same(readFloorFile(path, true), emptyFloorFile())
    t.throws(() => readFloorFile(path), { code: 'BYRE_AUDIT_FLOOR_FILE', message: /--update/ })
    const file = updateFloor(emptyFloorFile(), 'b.js', resultOf())
    writeFloorFile(path, { ...file, entries: { ...file.entries, 'a.js': emptyFloorEntry() } })
    t.same(Object.keys(readFloorFile(path).entries), ['a.js', 'b.js'])
    t.equal(formatFloorFile(readFloorFile(path)), readFileSync(path, 'utf8'))
    const bad = {
      version: 2,
      heavyByte: 1,
      entries: {
        'a.js': {
          alow: {},
          allow: { orm: 'soon' },
          may: 'x',
          budgets: { '24': { calibratedBytes: -1 }, v20: {} },
        },
      },
    }
    try {
      parseFloorFile(JSON.stringify(bad), 'f.json')
      t.fail('accepted')
    } catch (error) {
      const text = (error as Error).message
      for (const part of [
        'version: must be 1',
        "heavyByte: is unknown; did you mean 'heavyBytes'",
        "entries.a.js.alow: is unknown; did you mean 'allow'",
        'entries.a.js.allow.orm: must be one of',
        'entries.a.js.may: must be a list',
        'entries.a.js.budgets.24.calibratedBytes: must be a whole number',
        'entries.a.js.budgets.v20: must be a Node major version',
      ])
        t.match(text, part)
    }
  },
)

t.test('for any JSON the reader fails only with its own error', async () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        fc.string(),
        fc.object().map((o) => JSON.stringify({ version: 1, entries: o })),
      ),
      (text) => {
        try {
          parseFloorFile(text, 'f.json')
          return true
        } catch (error) {
          return (error as { code?: string }).code === 'BYRE_AUDIT_FLOOR_FILE'
        }
      },
    ),
  )
})

t.test('a diff lists packages that were added, removed and grew', async (t) => {
  const before = resultOf()
  const after = resultOf({ calibratedBytes: 12 * MIB })
  const packages = after.packages
    .filter((p) => p.name !== 'late')
    .map((p) => (p.name === 'orm' ? { ...p, selfBytes: p.selfBytes + MIB } : p))
  const extra = { ...packages[0]!, name: 'fresh', selfBytes: 3 * MIB }
  const diff = diffResults(before, { ...after, packages: [...packages, extra] })
  t.same(
    diff.packages.map((p) => `${p.change} ${p.name}`),
    ['added fresh', 'removed late', 'grown orm'],
  )
  t.same(diff.calibratedBytes, { before: 10 * MIB, after: 12 * MIB })
})

t.test('a failed write leaves the old file', async (t) => {
  const folder = t.testdir({})
  mkdirSync(join(folder, 'sub'))
  writeFileSync(join(folder, 'sub', 'x'), '')
  t.throws(() => writeFloorFile(join(folder, 'sub', 'x', 'y.json'), emptyFloorFile()))
  t.equal(readFileSync(join(folder, 'sub', 'x'), 'utf8'), '')
})
