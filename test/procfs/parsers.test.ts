// The parsers of src/procfs: text from a real kernel, then properties over generated and arbitrary text.
import fc from 'fast-check'
import t from 'tap'
import { parseAuxv } from '../../src/procfs/auxv.ts'
import { controllerPath, parseCgroup, unifiedPath } from '../../src/procfs/cgroup.ts'
import { parseChildren } from '../../src/procfs/children.ts'
import { parseCmdline } from '../../src/procfs/cmdline.ts'
import { parseFields } from '../../src/procfs/fields.ts'
import { parseSchedstat } from '../../src/procfs/schedstat.ts'
import { parseSmapsRollup } from '../../src/procfs/smaps-rollup.ts'
import { parseStat } from '../../src/procfs/stat.ts'
import { parseStatm } from '../../src/procfs/statm.ts'

const KIB = fc.integer({ min: 0, max: 2 ** 42 })
const COUNT = fc.integer({ min: 0, max: 2 ** 52 })
const PARSERS: Readonly<Record<string, (text: string) => unknown>> = {
  cgroup: parseCgroup,
  children: parseChildren,
  cmdline: parseCmdline,
  schedstat: parseSchedstat,
  smapsRollup: parseSmapsRollup,
  stat: parseStat,
  statm: (text) => parseStatm(text, 4096),
}

t.test('no parser throws, whatever the text', async () => {
  const likely = fc.stringMatching(/^[\d ()a-zRk:\n/,-]*$/)
  for (const parse of Object.values(PARSERS))
    fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary' }), likely), (text) => (parse(text), true)))
})

t.test(
  'text that is not a number, or a number too large to be exact, is rejected and never becomes NaN',
  async (t) => {
    const line = statLine(
      1,
      'x',
      'R',
      Object.fromEntries(Object.values(STAT_FIELDS).map((field) => [field, 1])),
    )
    t.equal(parseStat(line)?.ppid, 1, 'the unmodified line is valid')
    for (const word of ['-1', '1e3', '0x10', 'NaN', '99999999999999999999', '1.5', '9007199254740993']) {
      t.equal(parseSchedstat(`1 ${word} 3`), undefined, `schedstat ${word}`)
      t.equal(parseStatm(`1 ${word} 3`, 1), undefined, `statm ${word}`)
      t.equal(
        parseStat(
          statLine(1, 'x', 'R', {})
            .replace(/ -?\d+\n$/, '')
            .replace('R 0', `R ${word}`),
        ),
        undefined,
      )
    }
  },
)

t.test('smaps_rollup: bytes are KiB x 1024, USS is the sum of both private parts', async () => {
  fc.assert(
    fc.property(KIB, KIB, KIB, KIB, KIB, (rss, pss, clean, dirty, anon) => {
      const found = parseSmapsRollup(
        `55c722e38000-7ffd1c259000 ---p 00000000 00:00 0    [rollup]\nRss:  ${rss} kB\nPss: ${pss} kB\nPss_Anon: 7 kB\n` +
          `Private_Clean:   ${clean} kB\nPrivate_Dirty: ${dirty} kB\nAnonymous: ${anon} kB\n`,
      )
      return (
        found?.rssBytes === rss * 1024 &&
        found.pssBytes === pss * 1024 &&
        found.ussBytes === (clean + dirty) * 1024 &&
        found.anonBytes === anon * 1024
      )
    }),
  )
})

t.test('smaps_rollup: a missing line makes the text malformed, not zero', async (t) => {
  const lines = ['Rss: 1 kB', 'Pss: 1 kB', 'Private_Clean: 1 kB', 'Private_Dirty: 1 kB', 'Anonymous: 1 kB']
  t.ok(parseSmapsRollup(lines.join('\n')))
  for (const left of lines)
    t.equal(parseSmapsRollup(lines.filter((l) => l !== left).join('\n')), undefined, `without ${left}`)
})

/** A stat line as the kernel writes it: fields 3 to 52. */
function statLine(
  pid: number,
  comm: string,
  state: string,
  numbers: Readonly<Record<number, number>>,
): string {
  const rest = Array.from({ length: 49 }, (_, i) => String(numbers[i + 4] ?? -(i % 2)))
  return `${pid} (${comm}) ${state} ${rest.join(' ')}\n`
}
const STAT_FIELDS = {
  ppid: 4,
  session: 6,
  userTicks: 14,
  systemTicks: 15,
  threads: 20,
  startTicks: 22,
} as const

t.test('stat: spaces, parentheses and newlines in the name shift no field', async () => {
  const comm = fc.oneof(fc.string({ maxLength: 15 }), fc.stringMatching(/^[() R1\n]{0,15}$/))
  const values = fc.array(COUNT, { minLength: 6, maxLength: 6 })
  fc.assert(
    fc.property(fc.nat(), comm, fc.constantFrom('R', 'S', 'Z', 'I'), values, (pid, name, state, numbers) => {
      const entries = Object.entries(STAT_FIELDS).map(([key, field], i) => [key, field, numbers[i]!] as const)
      const line = statLine(pid, name, state, Object.fromEntries(entries.map(([, f, n]) => [f, n])))
      const found = parseStat(line)
      return (
        found?.pid === pid &&
        found.comm === name &&
        found.state === state &&
        entries.every(([key, , n]) => found[key as keyof typeof STAT_FIELDS] === n)
      )
    }),
  )
})

t.test('stat: a real line', async (t) => {
  const line =
    '13584 (a) S (b) R 13581 13581 3691 0 -1 4194304 2809 5 7 6 17 5 3 4 20 0 7 0 262575 1015738368 11600 18446744073709551615 0 0'
  t.match(parseStat(line), {
    pid: 13584,
    comm: 'a) S (b',
    state: 'R',
    ppid: 13581,
    session: 3691,
    userTicks: 17,
    systemTicks: 5,
    threads: 7,
    startTicks: 262575,
  })
  t.equal(parseStat('1 (x) S 0 0 0'), undefined, 'truncated')
  t.equal(parseStat('1 x S 0 0 0'), undefined, 'without parentheses')
})

t.test('fields: the first of two equal keys wins, so that appended text cannot override it', async (t) => {
  t.same(
    [...parseFields('A: 1\nA: 2\nno colon\n:x\nB:\t3 kB')],
    [
      ['A', '1'],
      ['B', '3 kB'],
    ],
  ) // prettier-ignore
})

t.test('statm: values are converted from pages of the given size', async () => {
  fc.assert(
    fc.property(COUNT, fc.nat(), fc.nat(), fc.constantFrom(4096, 16384, 65536), (size, rss, shared, page) => {
      const found = parseStatm(`${size} ${rss} ${shared} 1 0 1 0\n`, page)
      return found?.sizeBytes === size * page && found.rssBytes === rss * page
    }),
  )
})

t.test('schedstat: nanoseconds become milliseconds with a fraction', async (t) => {
  t.same(parseSchedstat('231142613 80719747 2048\n'), {
    cpuMs: 231.142613,
    waitMs: 80.719747,
  })
  t.equal(parseSchedstat('99999999999999999 1 1'), undefined)
})

t.test('cgroup: v1, v2, hybrid, and paths with colons and commas', async (t) => {
  const hybrid = parseCgroup('4:memory:/a:b/c,d\n2:cpu,cpuacct:/\n1:name=systemd:/x\n0::/y (deleted)\n')!
  t.equal(controllerPath(hybrid, 'memory'), '/a:b/c,d')
  t.equal(controllerPath(hybrid, 'cpuacct'), '/')
  t.equal(controllerPath(hybrid, 'pids'), undefined)
  t.equal(unifiedPath(hybrid), '/y (deleted)')
  t.equal(unifiedPath(parseCgroup('1:name=systemd:/x\n')!), undefined)
  t.equal(parseCgroup('nonsense\n'), undefined)
})

t.test('cgroup: parsing inverts rendering', async () => {
  const path = fc.stringMatching(/^\/[a-z:,.@ -]{0,12}$/)
  const line = fc.record({
    hierarchy: fc.nat(99),
    controllers: fc.array(fc.stringMatching(/^[a-z=]{1,8}$/), { maxLength: 3 }),
    path,
  })
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const text = lines.map((l) => `${l.hierarchy}:${l.controllers.join(',')}:${l.path}\n`).join('')
      return JSON.stringify(parseCgroup(text)) === JSON.stringify(lines)
    }),
  )
})

t.test(
  'auxv: both word sizes and byte orders; truncated text and missing entries are rejected',
  async (t) => {
    const render = (pairs: readonly (readonly [number, number])[], word: 4 | 8, big: boolean): Buffer => {
      const bytes = Buffer.alloc(pairs.length * 2 * word)
      pairs.flat().forEach((value, i) => {
        if (word === 4) bytes[big ? 'writeUInt32BE' : 'writeUInt32LE'](value, i * 4)
        else bytes[big ? 'writeBigUInt64BE' : 'writeBigUInt64LE'](BigInt(value), i * 8)
      })
      return bytes
    }
    const pairs = [
      [33, 5],
      [6, 4096],
      [17, 100],
      [0, 0],
      [6, 1],
    ] as const // prettier-ignore
    for (const word of [4, 8] as const)
      for (const big of [false, true])
        t.same(parseAuxv(render(pairs, word, big), word, big), { pageSizeBytes: 4096, ticksPerSecond: 100 })
    t.equal(parseAuxv(render(pairs.slice(0, 2), 8, false), 8), undefined)
    t.equal(parseAuxv(Buffer.alloc(7), 8), undefined)
    t.equal(parseAuxv(render([[0, 0], ...pairs], 8, false), 8), undefined, 'AT_NULL ends it')
  },
)

t.test('the children of a thread are pids between spaces', async (t) => {
  t.same(parseChildren('12 345 '), [12, 345])
  t.same(parseChildren(''), [])
  t.equal(parseChildren('12 x '), undefined)
})
