// The wire: whole lines whatever the cuts, batches, bounds, and what a guest has in hand.
import fc from 'fast-check'
import t from 'tap'
import { clipExit, line, packError, unpackError } from '../../src/placement/wire/protocol.ts'
import { InHand } from '../../src/placement/wire/in-hand.ts'
import { Link } from '../../src/placement/wire/link.ts'
import type { WireLine } from '../../src/placement/wire/protocol.ts'
import { ByreError } from '../../src/base/errors.ts'

function listening(lineMax = 1e6): { link: Link; heard: WireLine[]; broken: string[]; written: string[] } {
  const heard: WireLine[] = []
  const broken: string[] = []
  const written: string[] = []
  const link = new Link({ write: (text) => (written.push(text), true) }, lineMax, {
    onLine: (line) => heard.push(line),
    onBroken: (error) => broken.push(error.message),
  })
  return { link, heard, broken, written }
}

t.test('whatever the cuts, the same lines arrive', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string(), fc.jsonValue()), { maxLength: 8 }),
      fc.array(fc.nat(200)),
      (lines, cuts) => {
        const { link, heard } = listening()
        const text = lines.map(([tag, value]) => `${line(tag, value)}\n`).join('')
        let at = 0
        for (const cut of [...cuts, text.length]) {
          link.receive(text.slice(at, at + cut))
          at += cut
        }
        t.same(
          heard,
          lines.map(([tag, value]) => JSON.parse(line(tag, value)) as WireLine),
        )
      },
    ),
    { numRuns: 200 },
  )
})

t.test('what is no line of the wire breaks it, once, and nothing after it is heard', async (t) => {
  for (const text of ['{}', '[]', '[1]', 'x', '["a"', '', 'null', `["${'x'.repeat(200)}"]`]) {
    const { link, heard, broken } = listening(100)
    link.receive(`["ok",1]\n${text}\n["late"]\n`)
    t.same(heard, [['ok', 1]])
    t.equal(broken.length, 1, text.slice(0, 20))
  }
  const { link, broken } = listening(100)
  link.receive('x'.repeat(101))
  t.equal(broken.length, 1, 'a line that never ends is not waited for')
})

t.test('lines of one turn go out in one write', async (t) => {
  const { link, written } = listening()
  for (let n = 0; n < 100; n++) link.send(`[${n}]`)
  t.same(written, [])
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(written.length, 1)
  link.close()
  link.send('["late"]')
  link.flush()
  t.equal(written.length, 1, 'a closed link is silent')
})

t.test('a full batch goes out once, with what is worth one line per turn', async (t) => {
  const written: string[] = []
  let asked = 0
  const link: Link = new Link({ write: (text) => (written.push(text), true) }, 1e6, {
    onLine: () => {},
    onBroken: () => {},
    beforeFlush: () => {
      asked++
      link.send('["taken"]')
    },
  })
  link.send(`["${'x'.repeat(70_000)}"]`)
  t.equal(asked, 1)
  t.equal(written.length, 1)
  t.match(written[0], /x"\]\n\["taken"\]\n$/)
  link.send('["next"]')
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(written[1], '["next"]\n["taken"]\n')
  link.close()
})

t.test('in hand: gone in order, lost one by one, the rest comes back', async (t) => {
  const item = (n: number): { n: number } => ({ n })
  const hand = new InHand<{ n: number }>()
  for (let n = 0; n < 6; n++) hand.add(item(n))
  hand.gone(1)
  hand.lost(4)
  hand.lost(4)
  hand.lost(0)
  t.equal(hand.size, 3)
  hand.gone(0)
  t.same(hand.drain(), [2, 3, 5].map(item))
  t.equal(hand.size, 0)
  hand.add(item(6))
  hand.gone(6)
  t.same(hand.drain(), [])
})

t.test(
  "byre's errors keep their code on the way, all errors what they say, and no exit is too long",
  async (t) => {
    const refused = new ByreError('BYRE_BUS_CLOSED', 'closed', { details: { topic: 'x' } })
    t.match(unpackError(JSON.parse(JSON.stringify(packError(refused)))), {
      code: 'BYRE_BUS_CLOSED',
      message: 'closed',
      details: { topic: 'x' },
    })
    t.match(unpackError(packError(new TypeError('t'))), { name: 'TypeError', message: 't' })
    for (const odd of [undefined, null, 'text', Object.create(null)])
      t.ok(unpackError(packError(odd)).message)
    const exit = clipExit({
      verdict: 'failed',
      text: 'x'.repeat(1e6),
      evidence: { stack: 'y'.repeat(1e6), n: 1 },
    })
    t.ok(JSON.stringify(exit).length < 40_000)
  },
)
