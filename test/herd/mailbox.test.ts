import fc from 'fast-check'
import t from 'tap'
import { Mailbox, OFFERS_MAX } from '../../src/herd/mailbox.ts'

const message = (topic: string, n = 0) => ({ topic, envelope: String(n) })

t.test('claims in order what the pattern covers and leaves the rest', async (t) => {
  const box = new Mailbox(10)
  ;['a', 'b', 'a'].forEach((topic, i) => box.keep(message(topic, i)))
  t.same(
    box.claim((topic) => topic === 'a').map((d) => d.envelope),
    ['0', '2'],
  )
  t.equal(box.size, 1)
})

t.test('drops the oldest beyond its capacity and counts it', async (t) => {
  const box = new Mailbox(2)
  t.ok(box.keep(message('a', 0)))
  t.ok(box.keep(message('a', 1)))
  t.notOk(box.keep(message('a', 2)))
  t.equal(box.dropped, 1)
  t.same(
    box.claim(() => true).map((d) => d.envelope),
    ['1', '2'],
  )
})

t.test(
  'what a run was offered and never claimed is unclaimed; what came later waits for the next',
  async (t) => {
    const box = new Mailbox(10)
    box.keep(message('a', 0))
    box.offer()
    box.keep(message('a', 1))
    t.equal(box.endRun(), 1)
    t.equal(box.unclaimed, 1)
    t.equal(box.size, 1)
  },
)

t.test('what was claimed and came back unread is offered again, a bounded number of times', async (t) => {
  const box = new Mailbox(10)
  box.keep(message('a', 0))
  for (let run = 1; run <= OFFERS_MAX; run++) {
    box.offer()
    const taken = box.claim(() => true)
    t.equal(taken.length, 1, `run ${run} gets it`)
    box.giveBack(taken)
    box.endRun()
  }
  t.equal(box.size, 0)
  t.equal(box.unclaimed, 1)
})

t.test('runs that read some of what they took are given the rest, however many it takes', async (t) => {
  const box = new Mailbox(100)
  for (let i = 0; i < 50; i++) box.keep(message('a', i))
  const read: string[] = []
  for (let run = 1; run <= 50; run++) {
    box.offer()
    const [first, ...unread] = box.claim(() => true)
    read.push(first!.envelope)
    box.giveBack(unread)
    t.equal(box.endRun(), 0)
  }
  t.same(
    read,
    Array.from({ length: 50 }, (_, i) => String(i)),
  )
  t.equal(box.unclaimed, 0)
})

t.test('what comes back goes in front of what came meanwhile, in its own order', async (t) => {
  const box = new Mailbox(10)
  for (const n of [0, 1]) box.keep(message('a', n))
  const taken = box.claim(() => true)
  box.keep(message('a', 2))
  box.giveBack(taken)
  t.same(
    box.claim(() => true).map((d) => d.envelope),
    ['0', '1', '2'],
  )
})

t.test('what two subscriptions give back twice, or is here already, is kept once', async (t) => {
  const box = new Mailbox(10)
  const [one, two] = [message('a', 1), message('a', 2)]
  box.giveBack([one, two, one])
  t.equal(box.size, 2, 'twice in one go')
  box.giveBack([two])
  t.equal(box.size, 2, 'once more, by the other subscription')
  t.same(
    box.claim(() => true).map((d) => d.envelope),
    ['1', '2'],
  )
})

t.test('what comes back beyond the capacity is dropped and counted, the oldest first', async (t) => {
  const box = new Mailbox(2)
  for (const n of [0, 1]) box.keep(message('a', n))
  const taken = box.claim(() => true)
  box.keep(message('a', 2))
  box.giveBack(taken)
  t.same([box.size, box.dropped], [2, 1])
  t.same(
    box.claim(() => true).map((d) => d.envelope),
    ['1', '2'],
  )
})

t.test('a run that failed drops nothing: its restart is offered all of it', async (t) => {
  const box = new Mailbox(10)
  box.keep(message('a', 0))
  for (let run = 0; run < 10; run++) {
    box.offer()
    t.equal(box.endRun(true), 0)
  }
  box.offer()
  t.equal(box.claim(() => true).length, 1)
})

t.test('property: nothing is lost or doubled without being counted', async () => {
  const op = fc.constantFrom('keep-a', 'keep-b', 'claim-a', 'claim-all', 'give-back', 'offer', 'settle')
  fc.assert(
    fc.property(fc.array(op, { maxLength: 100 }), fc.integer({ min: 1, max: 5 }), (ops, capacity) => {
      const box = new Mailbox(capacity)
      let [kept, consumed] = [0, 0]
      let inHand: ReturnType<Mailbox['claim']> = []
      for (const name of ops) {
        if (name === 'keep-a' || name === 'keep-b') box.keep(message(name, kept++))
        else if (name === 'offer') box.offer()
        else if (name === 'settle') box.endRun()
        else if (name === 'give-back') {
          box.giveBack(inHand)
          inHand = []
        } else {
          consumed += inHand.length
          inHand = box.claim((topic) => name === 'claim-all' || topic === 'keep-a')
        }
      }
      return kept === box.size + box.dropped + box.unclaimed + consumed + inHand.length
    }),
    { numRuns: 1000 },
  )
})
