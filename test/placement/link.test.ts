// The wire: whole lines wherever the text is split, batches, bounds, and the messages in flight to a child.
import fc from 'fast-check'
import t from 'tap'
import { clipExit, line, packError, unpackError } from '../../src/placement/wire/protocol.ts'
import { InFlight } from '../../src/placement/relay.ts'
import { Link } from '../../src/placement/wire/link.ts'
import type { WireLine } from '../../src/placement/wire/protocol.ts'
import { ByreError } from '../../src/base/errors.ts'

function listening(lineMax = 1e6): { link: Link; received: WireLine[]; broken: string[]; written: string[] } {
  const received: WireLine[] = []
  const broken: string[] = []
  const written: string[] = []
  const link = new Link({ write: (text) => (written.push(text), true) }, lineMax, {
    onLine: (line) => received.push(line),
    onBroken: (error) => broken.push(error.message),
  })
  return { link, received, broken, written }
}

t.test('the same lines arrive wherever the text is split', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string(), fc.jsonValue()), { maxLength: 8 }),
      fc.array(fc.nat(200)),
      (lines, cuts) => {
        const { link, received } = listening()
        const text = lines.map(([tag, value]) => `${line(tag, value)}\n`).join('')
        let at = 0
        for (const cut of [...cuts, text.length]) {
          link.receive(text.slice(at, at + cut))
          at += cut
        }
        t.same(
          received,
          lines.map(([tag, value]) => JSON.parse(line(tag, value)) as WireLine),
        )
      },
    ),
    { numRuns: 200 },
  )
})

t.test('an invalid line breaks the wire, once, and nothing after it is read', async (t) => {
  for (const text of ['{}', '[]', '[1]', 'x', '["a"', '', 'null', `["${'x'.repeat(200)}"]`]) {
    const { link, received, broken } = listening(100)
    link.receive(`["ok",1]\n${text}\n["late"]\n`)
    t.same(received, [['ok', 1]])
    t.equal(broken.length, 1, text.slice(0, 20))
  }
  const { link, broken } = listening(100)
  link.receive('x'.repeat(101))
  t.equal(broken.length, 1, 'a line without an end is not awaited')
})

t.test('lines of one turn are sent in one write', async (t) => {
  const { link, written } = listening()
  for (let n = 0; n < 100; n++) link.send(`[${n}]`)
  t.same(written, [])
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(written.length, 1)
  link.close()
  link.send('["late"]')
  link.flush()
  t.equal(written.length, 1, 'a closed link sends nothing')
})

t.test('a full batch is written once, with the lines that are sent once per turn', async (t) => {
  const written: string[] = []
  let flushes = 0
  const link: Link = new Link({ write: (text) => (written.push(text), true) }, 1e6, {
    onLine: () => {},
    onBroken: () => {},
    beforeFlush: () => {
      flushes++
      link.send('["taken"]')
    },
  })
  link.send(`["${'x'.repeat(70_000)}"]`)
  t.equal(flushes, 1)
  t.equal(written.length, 1)
  t.match(written[0], /x"\]\n\["taken"\]\n$/)
  link.send('["next"]')
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(written[1], '["next"]\n["taken"]\n')
  link.close()
})

t.test('in flight: messages are taken in order, lost one by one, and the rest is returned', async (t) => {
  const item = (n: number): { n: number } => ({ n })
  const inFlight = new InFlight<{ n: number }>()
  for (let n = 0; n < 6; n++) inFlight.add(item(n))
  inFlight.taken(1)
  inFlight.lost(4)
  inFlight.lost(4)
  inFlight.lost(0)
  t.equal(inFlight.size, 3)
  inFlight.taken(0)
  t.same(inFlight.drain(), [2, 3, 5].map(item))
  t.equal(inFlight.size, 0)
  inFlight.add(item(6))
  inFlight.taken(6)
  t.same(inFlight.drain(), [])
})

t.test(
  "on the wire byre's errors keep their code, all errors their message, and no exit is too long",
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
