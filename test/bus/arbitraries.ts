// Topics and patterns for property tests, from few tokens so that they often match.
import fc from 'fast-check'

const token = fc.constantFrom('a', 'b', 'c', 'ü', 'a[b]?')
const wild = fc.oneof({ weight: 3, arbitrary: token }, { weight: 1, arbitrary: fc.constant('*') })

export const topics: fc.Arbitrary<string> = fc
  .array(token, { minLength: 1, maxLength: 5 })
  .map((tokens) => tokens.join('.'))

export const patterns: fc.Arbitrary<string> = fc
  .tuple(fc.array(wild, { maxLength: 4 }), fc.boolean())
  .filter(([tokens, open]) => open || tokens.length > 0)
  .map(([tokens, open]) => [...tokens, ...(open ? ['>'] : [])].join('.'))

/** The NATS rules, written as directly as possible. */
export function coversByRule(pattern: string, topic: string): boolean {
  const [p, t] = [pattern.split('.'), topic.split('.')]
  if (p.at(-1) === '>') return t.length >= p.length && p.slice(0, -1).every((x, i) => x === '*' || x === t[i])
  return t.length === p.length && p.every((x, i) => x === '*' || x === t[i])
}
