// Secrets are removed from a text in every form in which they can appear.
import fc from 'fast-check'
import t from 'tap'
import { createRedactor } from '../../src/base/redact.ts'

t.test('secrets are replaced as written, percent-encoded and as JSON', async (t) => {
  const redact = createRedactor(['p@ss w"ord', undefined, ''])
  for (const form of ['p@ss w"ord', 'p%40ss%20w%22ord', JSON.stringify('p@ss w"ord').slice(1, -1)])
    t.equal(redact(`x ${form} y`), 'x *** y')
})

t.test('the userinfo of any URL is replaced, whether it is a known secret or not', async (t) => {
  const redact = createRedactor([])
  t.equal(
    redact('at redis://me:geheim@host:1/0 and rediss://:x@h'),
    'at redis://***@host:1/0 and rediss://***@h',
  )
  t.equal(redact('redis://host:6379 mail a@b.c'), 'redis://host:6379 mail a@b.c')
})

t.test('a secret that contains another one is replaced as a whole', async (t) => {
  t.equal(createRedactor(['abc', 'abcdef'])('abcdef abc'), '*** ***')
})

t.test('a secret is replaced in any surrounding text', async () => {
  const secret = fc.string({ minLength: 4, maxLength: 20 }).filter((s) => !s.includes('*'))
  fc.assert(
    fc.property(secret, fc.string(), fc.string(), (s, before, after) => {
      return !createRedactor([s])(`${before}${s}${after}`).includes(s)
    }),
  )
})
