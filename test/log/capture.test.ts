import fc from 'fast-check'
import t from 'tap'
import { createCapture, createLineRate, createLineSplitter } from '../../src/log/capture.ts'
import { isUnfolded } from '../../src/log/fold.ts'
import type { Logger } from '../../src/log/logger.ts'
import { fakeClock } from '../helpers/fake-clock.ts'
import { cpuClock } from '../helpers/cpu.ts'

function split(chunks: readonly (Uint8Array | string)[], maxBytes?: number): [string, number][] {
  const lines: [string, number][] = []
  const splitter = createLineSplitter((text, cut) => lines.push([text, cut]), maxBytes)
  for (const chunk of chunks) splitter.write(chunk)
  splitter.end()
  return lines
}

/** `bytes` split at the given offsets. */
function chunksOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [0, ...cuts.map((c) => c % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end))
}

t.test('lines are whole and without line ends, also a last one without a newline', async (t) => {
  t.same(split(['a\nb\r\n\nc']), [
    ['a', 0],
    ['b', 0],
    ['', 0],
    ['c', 0],
  ])
  t.same(split(['a\n']), [['a', 0]])
  t.same(split(['']), [])
  t.same(split(['a\rb\n']), [['a\rb', 0]], 'a lone carriage return stays')
  const full = 'x'.repeat(64)
  t.same(split([`${full}\r`, '\n'], 64), [[full, 0]], 'a line end does not count for the bound')
})

t.test('lines do not depend on chunk boundaries, even inside a character', async () => {
  const text = fc.array(fc.constantFrom('a', 'ü', '日', '😀', '\n', '\r', '\r\n'), {
    maxLength: 60,
    size: 'max',
  })
  fc.assert(
    fc.property(text, fc.array(fc.nat(), { maxLength: 8 }), (parts, cuts) => {
      const bytes = Buffer.from(parts.join(''))
      const [whole, torn] = [split([bytes]), split(chunksOf(bytes, cuts))]
      const expected = parts.join('').split('\n')
      if (expected.at(-1) === '') expected.pop()
      return (
        JSON.stringify(whole) === JSON.stringify(torn) &&
        JSON.stringify(torn.map(([line]) => line)) ===
          JSON.stringify(expected.map((line) => line.replace(/\r$/, '')))
      )
    }),
    { numRuns: 1000, examples: [[['\r', '\n', 'a'], [1]]] },
  )
})

t.test('no line exceeds the limit, and the number of cut bytes is exact', async () => {
  const text = fc.array(fc.constantFrom('a', 'ü', '日', '😀', '\r'), { maxLength: 200, size: 'max' })
  fc.assert(
    fc.property(text, fc.integer({ min: 64, max: 200 }), fc.array(fc.nat()), (parts, maxBytes, cuts) => {
      const input = Buffer.from(`${parts.join('')}|`) // ends in neither \r nor \n
      const [[line, cut] = ['', 0], ...more] = split(chunksOf(input, cuts), maxBytes)
      if (more.length > 0 || Buffer.byteLength(line) > maxBytes) return false
      if (cut === 0) return line === input.toString()
      const kept = line.replace(/…\[cut \d+ bytes\]$/, '')
      return (
        input.length > maxBytes &&
        line.endsWith(`…[cut ${cut} bytes]`) &&
        input.toString().startsWith(kept) &&
        Buffer.byteLength(kept) + cut === input.length
      )
    }),
    { numRuns: 1000 },
  )
})

t.test('invalid UTF-8 never throws and never exceeds the limit', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 90, size: 'max' }), { maxLength: 8, size: 'max' }),
      (chunks) => split(chunks, 64).every(([line]) => Buffer.byteLength(line) <= 64 && !line.includes('\n')),
    ),
    { numRuns: 1000, examples: [[[new Uint8Array(30).fill(128)]]] }, // shorter than the kept part of its text
  )
})

t.test('a line without end is buffered up to the limit, for any length', async (t) => {
  const lines: [string, number][] = []
  const splitter = createLineSplitter((text, cut) => lines.push([text, cut]))
  const chunk = Buffer.alloc(1 << 20, 120)
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 256; i++) splitter.write(chunk)
  t.ok(process.memoryUsage().arrayBuffers - before < 4 << 20)
  splitter.write('\nnext\n')
  t.equal(lines[0]![1] + Buffer.byteLength(lines[0]![0].replace(/….*/, '')), 256 << 20)
  t.same(lines[1], ['next', 0])
})

t.test('a million empty lines take at most seconds: splitting is linear', async (t) => {
  let count = 0
  const splitter = createLineSplitter(() => count++)
  const chunk = Buffer.from('\n'.repeat(65_536))
  const cpuMs = cpuClock()
  for (let i = 0; i < 16; i++) splitter.write(chunk)
  t.equal(count, 16 * 65_536)
  t.ok(cpuMs() < 5000)
})

t.test('the rate admits a burst, then its lines per second', async (t) => {
  const rate = createLineRate({ linesPerSecond: 100, burst: 200 })
  const passed = (fromMs: number, n: number): number =>
    Array.from({ length: n }, () => rate(fromMs)).filter(Boolean).length
  t.equal(passed(0, 1000), 200)
  t.equal(passed(500, 1000), 50)
  t.equal(passed(100_000, 1000), 200, 'a pause earns no more than a burst')
  t.equal(passed(99_000, 10), 0, 'a clock that steps back earns nothing')
})

/** A logger that records its calls. */
function keeper(): { log: Logger; lines: [string, object, string | undefined][] } {
  const lines: [string, object, string | undefined][] = []
  const method =
    (level: string) =>
    (fields: object | string, message?: string): void => {
      lines.push([level, fields as object, message])
    }
  const log = Object.fromEntries(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal'].map((level) => [level, method(level)]),
  )
  return { log: log as unknown as Logger, lines }
}

t.test(
  'captured output: stdout is info, stderr warn, console the level of the call; never folded',
  async (t) => {
    const { log, lines } = keeper()
    const capture = createCapture(log, { clock: fakeClock(), maxLineBytes: 64 })
    capture.stdout.write('out\nha')
    capture.stderr.write('err\n')
    capture.stdout.write('lf\n')
    capture.console('error', 'one\ntwo')
    capture.stdout.write('x'.repeat(100))
    capture.end()
    t.same(
      lines.map(([level, fields, message]) => [level, { ...fields }, message]),
      [
        ['info', { stream: 'stdout' }, 'out'],
        ['warn', { stream: 'stderr' }, 'err'],
        ['info', { stream: 'stdout' }, 'half'],
        ['error', { stream: 'console' }, 'one'],
        ['error', { stream: 'console' }, 'two'],
        ['info', { stream: 'stdout', cutBytes: 67 }, `${'x'.repeat(33)}…[cut 67 bytes]`],
      ],
    )
    t.ok(lines.every(([, fields]) => isUnfolded(fields)))
    t.same(capture.counts, { lines: 6, heldBack: 0, cutBytes: 67 })
  },
)

t.test('output above the rate is counted and reported in one line within a second', async (t) => {
  const { log, lines } = keeper()
  const clock = fakeClock()
  const capture = createCapture(log, { clock, linesPerSecond: 10, burst: 5 })
  capture.stdout.write('x\n'.repeat(8))
  t.equal(lines.length, 5)
  clock.advance(1000)
  t.match(lines[5], [
    'warn',
    { event: 'output-held-back', heldBack: 3 },
    /3 more lines of output.*10 lines\/s/,
  ])
  capture.stdout.write('y\n'.repeat(12))
  t.equal(clock.armed, 1)
  capture.end()
  t.equal(clock.armed, 0)
  t.match(lines.at(-1), ['warn', { heldBack: 7 }])
  t.equal(capture.counts.lines, 20)
  capture.end()
  t.equal(lines.filter(([, fields]) => 'heldBack' in fields).length, 2, 'a second end reports nothing')
})

t.test('counts add up: written + held back = input', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(400), fc.nat(30)), { maxLength: 40, size: 'max' }), (steps) => {
      const { log, lines } = keeper()
      const clock = fakeClock()
      const capture = createCapture(log, { clock, linesPerSecond: 20, burst: 10 })
      let input = 0
      for (const [deltaMs, n] of steps) {
        clock.advance(deltaMs)
        capture.stdout.write('z\n'.repeat(n))
        input += n
      }
      capture.end()
      const reported = lines.reduce(
        (sum, [, fields]) => sum + ((fields as { heldBack?: number }).heldBack ?? 0),
        0,
      )
      const written = lines.filter(([, , message]) => message === 'z').length
      return written + reported === input && capture.counts.heldBack === reported && clock.armed === 0
    }),
    { numRuns: 300 },
  )
})
