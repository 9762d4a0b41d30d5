// The figures of a load describe this load only, or are absent with the reason.
import t from 'tap'
import { LoadMeter } from '../../src/placement/loader.ts'

t.test('a load that is alone in the loop has time and memory', async (t) => {
  const meter = new LoadMeter(() => undefined)
  const end = meter.begin('a', ['a'])
  const kept = Buffer.alloc(20e6, 1)
  const figures = end()
  t.ok(figures.ms! >= 0 && figures.ms! < 10_000, `${figures.ms} ms`)
  t.ok(figures.rssBytes! >= 15e6, `${figures.rssBytes} bytes of ${kept.length}`)
  t.notOk('unavailable' in figures)
})

t.test('other workers in the loop are named, and there are no figures', async (t) => {
  const why = (names: string): object => {
    const reason = `${names} ran or loaded in the same loop meanwhile`
    return { unavailable: { ms: reason, rssBytes: reason } }
  }
  const meter = new LoadMeter(() => undefined)
  t.same(meter.begin('a', ['a', 'b'])(), why('b'), 'a run that began earlier')
  const first = meter.begin('a', ['a'])
  meter.runs('a')
  meter.runs('b')
  t.same(first(), why('b'), 'a run that begins during the load')
  const second = meter.begin('a', [])
  meter.runs('c')
  const third = meter.begin('c', ['a', 'c'])
  t.same(third(), why('a'), 'a load that begins during the load affects both')
  t.same(second(), why('c'))
  t.same(meter.begin('a', ['b', 'c', 'd', 'e', 'f'])(), why('b, c, d and 2 more'), 'the first three')
})

t.test('other loops of the process affect the memory, not the time', async (t) => {
  let shared: string | undefined = 'x was in a thread'
  const meter = new LoadMeter(() => shared)
  const end = meter.begin('a', [])
  shared = undefined
  t.match(
    end(),
    { ms: Number, rssBytes: undefined, unavailable: { rssBytes: 'x was in a thread' } },
    'at the start',
  )
  const next = meter.begin('a', [])
  shared = 'y was in a thread'
  const { ms, ...rest } = next()
  t.equal(typeof ms, 'number')
  t.same(rest, { unavailable: { rssBytes: 'y was in a thread' } }, 'at the end')
})
