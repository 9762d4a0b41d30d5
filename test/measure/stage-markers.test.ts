import fc from 'fast-check'
import t from 'tap'
import { createMarkerScanner } from '../../src/measure/stage-markers.ts'

const scan = (chunks: readonly string[]): string[] => {
  const scanner = createMarkerScanner()
  return chunks.flatMap((chunk) => scanner.scan(Buffer.from(chunk)))
}

t.test(
  'markers on separate lines, inside lines, several at once, and the marker that ends a stage',
  async (t) => {
    t.same(scan(['::byre-stage build::\n']), ['build'])
    t.same(scan(['x ::byre-stage a:: y ::byre-stage b::z']), ['a', 'b'])
    t.same(scan(['::byre-stage ::']), [''])
    t.same(scan(['::byre-stage größe::']), ['größe'])
  },
)

t.test('texts that are not markers', async (t) => {
  t.same(scan([`::byre-stage ${'x'.repeat(65)}::`]), [], 'a name of more than 64 bytes')
  t.same(scan(['::byre-stage a\nb::']), [], 'a name over two lines')
  t.same(scan(['::byre-stage a']), [], 'without an end')
})

t.test('the markers do not depend on chunk boundaries', async () => {
  const text = 'noise ::byre-stage a::::byre-stage b:: ::byre-stage  c d ::\n::byre-stage\n::byre-stage ::x'
  fc.assert(
    fc.property(fc.array(fc.nat(text.length), { maxLength: 12 }), (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), text.length]
      const chunks = at.slice(1).map((end, i) => text.slice(at[i], end))
      return scan(chunks).join('|') === 'a|b|c d|'
    }),
  )
})
