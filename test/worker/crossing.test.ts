// What crosses to and from a resource of the herd: JSON exactly, or a refusal that names the place.
import fc from 'fast-check'
import t from 'tap'
import { encodeCrossing, packThrown, unpackThrown } from '../../src/worker/crossing.ts'

const encode = (value: unknown, limitBytes = 1_048_576): string =>
  encodeCrossing(value, 'Cannot do it', 'it', limitBytes)

t.test('what JSON can say arrives as it was sent, and nothing else is sent', async (t) => {
  const odd = fc.constantFrom<unknown>(
    Number.NaN,
    Infinity,
    1n,
    new Date(0),
    new Map(),
    /x/,
    () => 1,
    Symbol('s'),
  )
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      t.strictSame(JSON.parse(encode(value)), JSON.parse(JSON.stringify(value)))
    }),
  )
  fc.assert(
    fc.property(fc.jsonValue(), odd, fc.constantFrom('x', '0', 'a.b'), (value, misfit, key) => {
      for (const holder of [{ a: value, [key]: misfit }, [value, misfit], [[{ [key]: misfit }], value]])
        t.throws(() => encode(holder), { code: 'BYRE_RESOURCE_VALUE', message: /^Cannot do it: it[[.]/ })
    }),
    { numRuns: 50 },
  )
})

t.test(
  'its size is counted in bytes of UTF-8, and a value of many small parts is not walked to its end',
  async (t) => {
    t.equal(encode('ü'.repeat(4), 10), '"üüüü"')
    t.throws(() => encode('ü'.repeat(5), 10), {
      code: 'BYRE_RESOURCE_TOO_LARGE',
      message: /10 bytes of JSON, got 12 /,
    })
    // Each level holds the one below twice: 2^64 parts.
    let twice: unknown = 1
    for (let i = 0; i < 64; i++) twice = [twice, twice]
    t.throws(() => encode(twice), { code: 'BYRE_RESOURCE_TOO_LARGE', message: /got at least 1048577/ })
    // 600 MB: more than V8 has in one string
    const long = Array<string>(600).fill('x'.repeat(1e6))
    t.throws(() => encode(long), { code: 'BYRE_RESOURCE_TOO_LARGE', message: /got at least 2000005 / })
    const keys = { ['a'.repeat(1e6)]: 1, ['b'.repeat(1e6)]: 1 }
    t.throws(() => encode(keys), { code: 'BYRE_RESOURCE_TOO_LARGE', message: /got at least 2000008 / })
    t.equal(encode({ a: ['bc', 1], d: '' }, 23), '{"a":["bc",1],"d":""}', 'what fits is not refused')
    t.equal(encode({ a: ['bc', 1], d: '' }, 21).length, 21, 'to the byte')
  },
)

t.test('what would cross as something else by its toJSON is refused, whoever has it', async (t) => {
  const toJSON = (): string => 'bent'
  const hidden = Object.defineProperty({ a: 1 }, 'toJSON', { value: toJSON })
  for (const value of [{ a: [Object.assign([1], { toJSON })] }, { a: [hidden] }])
    t.throws(() => encode(value), { code: 'BYRE_RESOURCE_VALUE', message: /: it\.a\[0\] has a toJSON, / })
  t.equal(encode({ toJSON: 1 }), '{"toJSON":1}', 'as a mere name it may cross')
})

t.test('an error arrives with its name, message, code and the text of its cause', async (t) => {
  const thrown = Object.assign(new RangeError('no', { cause: new TypeError('why') }), { code: 7 })
  const error = unpackThrown(JSON.parse(JSON.stringify(packThrown(thrown))) as never)
  t.ok(error instanceof Error)
  t.match(error, { name: 'RangeError', message: 'no', code: 7, cause: 'TypeError: why' })
  t.match(error.stack, /^RangeError: no\n/)
  const hostile = {
    get message(): never {
      throw new Error('trap')
    },
    get code(): never {
      throw new Error('trap')
    },
    get cause(): never {
      throw new Error('trap')
    },
  }
  t.match(packThrown(hostile), { name: 'Error', message: /throws when read/ })
  t.match(packThrown(undefined), { name: 'Error', message: 'undefined' })
  t.ok(packThrown(new Error('x'.repeat(1e6))).message.length < 3000, 'bounded')
})
