// Lines of one turn of the event loop are one write, in order, and before any later write.
import t from 'tap'
import { createBatch } from '../../src/log/output.ts'

function bench(): { writes: string[]; ends: (() => void)[]; batch: ReturnType<typeof createBatch> } {
  const writes: string[] = []
  const ends: (() => void)[] = []
  const batch = createBatch(
    (lines) => writes.push(lines),
    (fn) => ends.push(fn),
  )
  return { writes, ends, batch }
}

t.test('the lines of a turn are written at once at its end', async (t) => {
  const { writes, ends, batch } = bench()
  batch.add('a\n')
  batch.add('b\n')
  t.same(writes, [])
  t.equal(ends.length, 1, 'one end is planned')
  ends.shift()?.()
  t.same(writes, ['a\nb\n'])
  batch.add('c\n')
  ends.shift()?.()
  t.same(writes, ['a\nb\n', 'c\n'], 'the next turn is planned anew')
})

t.test('flushed lines are not written again', async (t) => {
  const { writes, ends, batch } = bench()
  batch.add('a\n')
  batch.flush()
  batch.flush()
  ends.shift()?.()
  t.same(writes, ['a\n'])
})

t.test('no write exceeds the atomic size of a pipe, except for a single longer line', async (t) => {
  const { writes, batch } = bench()
  const line = `${'x'.repeat(999)}\n`
  for (let i = 0; i < 9; i++) batch.add(line)
  batch.add(`${'y'.repeat(5000)}\n`)
  batch.flush()
  t.same(
    writes.map((text) => text.length),
    [4000, 4000, 1000, 5001],
  )
  t.equal(writes.join(''), line.repeat(9) + `${'y'.repeat(5000)}\n`)
})
