import fc from 'fast-check'
import t from 'tap'
import { parseJsonText } from '../../src/config/json-text.ts'
import { cpuClock } from '../helpers/cpu.ts'

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** JSON text in which one character is inserted or replaced. */
const damaged = fc
  .tuple(
    fc.json({ maxDepth: 4 }),
    fc.nat(),
    fc.constantFrom(
      '',
      '"',
      ',',
      '}',
      ']',
      '{',
      '[',
      ':',
      '\\',
      '0',
      '-',
      'e',
      ' ',
      '\n',
      '\t',
      "'",
      '/',
      'u',
      '\ufeff',
      '\u00a0',
      '\u0001',
    ),
  )
  .map(([text, at, char]) => {
    const i = text.length === 0 ? 0 : at % text.length
    return `${text.slice(0, i)}${char}${text.slice(i + (at % 2))}`
  })

t.test(
  'property: text that JSON.parse accepts gives the same value; text that it refuses is refused with a position',
  async (t) => {
    let refusals = 0
    fc.assert(
      fc.property(fc.oneof(fc.json({ maxDepth: 5 }), damaged, fc.string()), (text) => {
        const result = parseJsonText(text)
        if (result.ok)
          return parses(text) && JSON.stringify(result.value) === JSON.stringify(JSON.parse(text))
        refusals++
        const lines = text.split('\n')
        const inside = result.line <= lines.length && result.column <= lines[result.line - 1]!.length + 1
        return inside && (!parses(text) || /duplicate key/.test(result.reason))
      }),
      { numRuns: 5000 },
    )
    t.ok(refusals > 100, 'the generator produces invalid texts')
  },
)

t.test('edge cases of numbers, escapes and literals agree with JSON.parse', async (t) => {
  const texts = [
    '-',
    '-0',
    '0',
    '00',
    '1.',
    '.5',
    '1e',
    '1e+',
    '1E-5',
    '-1.5e+10',
    '1a',
    '0x1',
    '1_0',
    '+1',
    '--1',
    'tru',
    'truee',
    'true ',
    'nul',
    'null,',
    '"\\u12"',
    '"\\u12G4"',
    '"\\u1234"',
    '"\\"',
    '""',
    '"\u007f"',
    '"\u2028"',
    ' 1',
    '\u00a01',
    '{"a":1,}',
    '[,]',
    '[1 2]',
    '{,}',
    '{"a"}',
    '{"__proto__":1}',
    '',
  ]
  for (const text of texts) t.equal(parseJsonText(text).ok, parses(text), encodeURIComponent(text))
})

t.test('a string, a list or an object of 8 MiB is parsed in bounded time', async (t) => {
  const cpuMs = cpuClock()
  for (const text of [
    `"${'x'.repeat(8e6)}"`,
    `[${'1,'.repeat(4e6)}1]`,
    `{${Array.from({ length: 500_000 }, (_, i) => `"k${i}":1`).join()}}`,
  ]) {
    t.ok(parseJsonText(text).ok)
  }
  t.ok(cpuMs() < 40_000, `${Math.round(cpuMs())} ms`)
})
