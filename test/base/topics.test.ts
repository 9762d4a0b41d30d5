import fc from 'fast-check'
import t from 'tap'
import { checkPattern, checkTopic, MAX_TOPIC_LENGTH } from '../../src/base/topics.ts'
import { cpuClock } from '../helpers/cpu.ts'

// text, reason as a topic, reason as a pattern (undefined: accepted)
const TABLE: readonly [string, RegExp | undefined, RegExp | undefined][] = [
  ['a', undefined, undefined],
  ['webhook.delivered', undefined, undefined],
  ['a-b_c.1.Ü.日本', undefined, undefined],
  ['[x].?.\\', undefined, undefined],
  ['😀.b', undefined, undefined],
  ['*', /in patterns only/, undefined],
  ['>', /in patterns only/, undefined],
  ['a.*.b', /in patterns only/, undefined],
  ['a.>', /in patterns only/, undefined],
  ['*.*.>', /in patterns only/, undefined],
  ['>.a', /in patterns only/, /last token/],
  ['a.>.b', /in patterns only/, /last token/],
  ['a*', /in patterns only/, /whole tokens/],
  ['a.b>', /in patterns only/, /whole tokens/],
  ['**', /in patterns only/, /whole tokens/],
  ['', /empty/, /empty/],
  ['.', /empty token/, /empty token/],
  ['.a', /empty token/, /empty token/],
  ['a.', /empty token/, /empty token/],
  ['a..b', /empty token/, /empty token/],
  ['a b', /white space/, /white space/],
  ['a\n', /white space/, /white space/],
  ['a\u0000b', /white space/, /white space/],
  ['a.\ud800', /white space/, /white space/],
  ['x'.repeat(MAX_TOPIC_LENGTH), undefined, undefined],
  ['x'.repeat(MAX_TOPIC_LENGTH + 1), /257 characters/, /257 characters/],
]

for (const [text, asTopic, asPattern] of TABLE) {
  t.test(`topic rules: ${JSON.stringify(text.slice(0, 20))}`, async (t) => {
    if (asTopic === undefined) t.equal(checkTopic(text), undefined)
    else t.match(checkTopic(text), asTopic)
    if (asPattern === undefined) t.equal(checkPattern(text), undefined)
    else t.match(checkPattern(text), asPattern)
  })
}

t.test('every valid topic is a valid pattern, and a refusal always has a reason', async () => {
  const tokens = fc.constantFrom('a', 'b', '*', '>', '', ' ', 'a*', '\u0007', 'ü')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(tokens).map((x) => x.join('.')),
      ),
      (text) => {
        const [topic, pattern] = [checkTopic(text), checkPattern(text)]
        return (topic !== undefined || pattern === undefined) && topic !== '' && pattern !== ''
      },
    ),
    { numRuns: 2000 },
  )
})

t.test('a hostile text is refused in linear time', async (t) => {
  const text = `${'a.'.repeat(5_000_000)}*a`
  const cpuMs = cpuClock()
  t.ok(checkPattern(text))
  t.ok(cpuMs() < 10_000)
})
