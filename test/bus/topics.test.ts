import fc from 'fast-check'
import t from 'tap'
import { isInbox } from '../../src/base/topics.ts'
import { assertPattern, assertTopic, covers, isReserved } from '../../src/bus/topics.ts'
import { coversByRule, patterns, topics } from './arbitraries.ts'

const TABLE: readonly [pattern: string, topic: string, covered: boolean][] = [
  ['a', 'a', true],
  ['a', 'b', false],
  ['a', 'a.b', false],
  ['a.b', 'a', false],
  ['*', 'a', true],
  ['*', 'a.b', false],
  ['*.*', 'a.b', true],
  ['a.*.c', 'a.b.c', true],
  ['a.*.c', 'a.c', false],
  ['>', 'a', true],
  ['>', 'a.b.c', true],
  ['a.>', 'a', false],
  ['a.>', 'a.b', true],
  ['a.>', 'a.b.c', true],
  ['a.>', 'ab.c', false],
  ['a.*.>', 'a.b', false],
  ['a.*.>', 'a.b.c', true],
  ['*.>', 'a.b', true],
  ['A', 'a', false],
  ['a.bc', 'a.b', false],
  ['a.b', 'a.bc', false],
]

for (const [pattern, topic, covered] of TABLE)
  t.test(`'${pattern}' ${covered ? 'covers' : 'does not cover'} '${topic}'`, async (t) => {
    t.equal(covers(pattern, topic), covered)
    t.equal(coversByRule(pattern, topic), covered, 'the reference rule of the property tests')
  })

t.test('covers follows the NATS rules for every pattern and topic', async () => {
  fc.assert(
    fc.property(
      patterns,
      topics,
      (pattern, topic) => covers(pattern, topic) === coversByRule(pattern, topic),
    ),
    { numRuns: 5000 },
  )
})

t.test('reply topics and system.> are reserved, their neighbours are not', async (t) => {
  for (const topic of ['_inbox', '_inbox.a']) t.ok(isInbox(topic) && isReserved(topic), topic)
  for (const topic of ['system.a', 'system.a.b']) t.ok(!isInbox(topic) && isReserved(topic), topic)
  for (const topic of ['_inboxes', '_inboxes.a', 'system', 'systems.a', 'a.system', 'a._inbox'])
    t.notOk(isReserved(topic), topic)
})

t.test('a refusal names the value, the reason and the remedy, and shortens long values', async (t) => {
  const code = 'BYRE_BUS_TOPIC_INVALID'
  const long = 'x'.repeat(1_000_000)
  t.throws(() => assertTopic('a..b'), {
    code,
    message: /^Cannot publish to topic "a\.\.b": it has an empty token .*\. Use /,
  })
  t.throws(() => assertPattern('a.>.b'), {
    code,
    message: /^Cannot subscribe to pattern "a\.>\.b": '>' must be the last token/,
  })
  t.throws(() => assertPattern('_inbox.>'), { code: 'BYRE_BUS_TOPIC_RESERVED', message: /request\(\)/ })
  for (const hostile of [long, { toString: () => long }, Symbol('x'), null, [], 1n])
    try {
      assertTopic(hostile)
      t.fail('accepted')
    } catch (error) {
      t.match(error, { code })
      t.ok((error as Error).message.length < 300)
    }
})
