import fc from 'fast-check'
import t from 'tap'
import { ByreError } from '../../src/base/errors.ts'
import {
  decodeEnvelope,
  encodeEnvelope,
  encodePayload,
  MAX_DEPTH,
  MAX_FIELD_LENGTH,
  nestsDeeper,
} from '../../src/bus/codec.ts'
import { cpuClock } from '../helpers/cpu.ts'

const LIMIT = 65_536
const GOOD = { v: 1, id: 'i-1', ts: 1_700_000_000_000, payload: { a: [1] } }
const text = (change: Record<string, unknown>): string => JSON.stringify({ ...GOOD, ...change })
const nest = (levels: number, open = '[', close = ']'): string => open.repeat(levels) + close.repeat(levels)

/** Returns the error of `fn`, which must have a code and a message of bounded length. */
function refusal(fn: () => unknown): ByreError | undefined {
  try {
    fn()
    return undefined
  } catch (error) {
    if (!(error instanceof ByreError)) throw error
    if (error.message.length > 2000) throw new Error(`a message of ${error.message.length} characters`)
    return error
  }
}

t.test('an envelope is unchanged after encoding and decoding', async () => {
  const field = fc.string({ minLength: 1, maxLength: MAX_FIELD_LENGTH })
  const arbitrary = fc.record(
    {
      id: field,
      ts: fc.nat(),
      payload: fc.jsonValue(),
      type: field,
      replyTo: fc.constant('_inbox.a.1'),
      inReplyTo: field,
      traceparent: field,
    },
    { requiredKeys: ['id', 'ts', 'payload'] },
  )
  fc.assert(
    fc.property(arbitrary, ({ payload, traceparent, ...rest }) => {
      const encoded = encodeEnvelope({ ...rest, traceparent, body: encodePayload(payload, LIMIT, 't') })
      const headers = traceparent === undefined ? {} : { headers: { traceparent } }
      const expected = { v: 1, ...rest, payload: JSON.parse(JSON.stringify(payload)) as unknown, ...headers }
      t.same(decodeEnvelope(encoded, LIMIT), expected)
    }),
    { numRuns: 500 },
  )
})

const REFUSED: readonly [string, unknown, RegExp][] = [
  ['not text', 1, /must be text, got a number/],
  ['a buffer', Buffer.from('{}'), /must be text/],
  ['nothing', undefined, /must be text, got nothing/],
  ['empty', '', /must be JSON/],
  ['not JSON', '{"v":1,', /must be JSON/],
  ['two values', '{}{}', /must be JSON/],
  ['null', 'null', /must be an object, got null/],
  ['an array', '[]', /must be an object, got an array/],
  ['a string', '"v"', /must be an object/],
  ['no version', '{}', /v: is missing; this version of byre reads envelope version 1/],
  ['a later version', text({ v: 2 }), /v: this version of byre reads envelope version 1, got 2; update byre/],
  ['a version as text', text({ v: '1' }), /v: .* got "1"/],
  ['a version as object', text({ v: { valueOf: 1 } }), /v: .* got an object|a object/],
  ['no id', text({ id: undefined }), /id: is missing/],
  ['an empty id', text({ id: '' }), /id: must not be empty/],
  ['a numeric id', text({ id: 1 }), /id: must be a string, got a number/],
  ['a long id', text({ id: 'x'.repeat(257) }), /id: must have at most 256/],
  ['a null type', text({ type: null }), /type: must be a string, got null/],
  ['no ts', text({ ts: undefined }), /ts: must be milliseconds/],
  ['a negative ts', text({ ts: -1 }), /ts: /],
  ['an infinite ts', text({}).replace('1700000000000', '1e999'), /ts: /],
  ['no payload', text({ payload: undefined }), /payload: is missing/],
  ['a replyTo with a wildcard', text({ replyTo: 'a.>' }), /replyTo: it contains/],
  ['headers as a list', text({ headers: [] }), /headers: must be an object/],
  ['a traceparent object', text({ headers: { traceparent: {} } }), /headers\.traceparent: must be a string/],
  [
    'a payload only in the prototype',
    '{"__proto__":{"payload":1},"v":1,"id":"a","ts":1}',
    /payload: is missing/,
  ],
  ['everything only in the prototype', '{"__proto__":{"v":1,"id":"a","ts":1,"payload":1}}', /v: is missing/],
  ['too deep', text({}).replace('[1]', nest(MAX_DEPTH)), /deeper than 512/],
  ['too deep in objects', `${'{"a":'.repeat(600)}1${'}'.repeat(600)}`, /deeper than 512/],
  ['a million levels', nest(1_000_000), /at most|deeper/],
  ['10 MB', text({ payload: 'x'.repeat(10_000_000) }), /at most 73728 characters, got 10/],
]

for (const [what, input, problem] of REFUSED)
  t.test(`an envelope is refused with a coded error: ${what}`, async (t) => {
    const cpuMs = cpuClock()
    t.match(
      refusal(() => decodeEnvelope(input, LIMIT)),
      { code: 'BYRE_CODEC_INVALID', message: problem },
    )
    t.ok(cpuMs() < 200, 'at once')
  })

t.test('an error lists all problems of an envelope', async (t) => {
  const error = refusal(() => decodeEnvelope('{"v":1,"id":"","ts":"now","headers":1}', LIMIT))
  t.match(error?.message, /4 problems\n.*id: .*\n.*ts: .*\n.*headers: .*\n.*payload: /)
})

t.test('unknown keys are dropped, including __proto__', async (t) => {
  const decoded = decodeEnvelope(
    '{"later":1,"__proto__":{"x":1},"v":1,"id":"a","ts":1,"payload":{"__proto__":{"y":1}}}',
    LIMIT,
  )
  t.same(Object.keys(decoded), ['v', 'id', 'ts', 'payload'])
  t.equal(Object.getPrototypeOf(decoded), Object.prototype)
  t.same(Object.keys(decoded.payload as object), ['__proto__'], 'the payload keeps it as an own key')
  t.equal(({} as Record<string, unknown>)['x'] ?? ({} as Record<string, unknown>)['y'], undefined)
})

t.test('for any input, decode returns an envelope or throws an error with a code', async (t) => {
  const known = fc.constantFrom(
    'v',
    'id',
    'ts',
    'payload',
    'type',
    'replyTo',
    'headers',
    '__proto__',
    'constructor',
  )
  const json = fc.oneof(fc.jsonValue(), fc.dictionary(known, fc.oneof(fc.constant(1), fc.jsonValue())))
  const almost = fc
    .tuple(
      fc.constantFrom(text({}), text({ type: 'a', headers: {} })),
      fc.nat(200),
      fc.string({ maxLength: 3 }),
    )
    .map(([base, at, junk]) => base.slice(0, at) + junk + base.slice(at + 1))
  const input = fc.oneof(
    fc.anything(),
    fc.string(),
    json.map((v) => JSON.stringify(v)),
    almost,
  )
  fc.assert(
    fc.property(input, (value) => {
      const error = refusal(() => decodeEnvelope(value, LIMIT))
      return error === undefined || error.code === 'BYRE_CODEC_INVALID'
    }),
    { numRuns: 5000 },
  )
  t.equal(Object.keys(Object.prototype).length, 0, 'the prototype is not polluted')
})

t.test('for any payload, encode returns text that parses or throws an error with a code', async () => {
  const hostile = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withNullPrototype: true,
    withObjectString: true,
    withSparseArray: true,
    withTypedArray: true,
  })
  fc.assert(
    fc.property(hostile, (value) => {
      let body: string | undefined
      const error = refusal(() => (body = encodePayload(value, LIMIT, 't')))
      if (body === undefined) return error?.code.startsWith('BYRE_BUS_PAYLOAD_') === true
      return JSON.stringify(JSON.parse(body)) === body
    }),
    { numRuns: 3000 },
  )
})

t.test('brackets inside strings do not count as depth', async (t) => {
  t.ok(nestsDeeper(nest(3), 2))
  t.notOk(nestsDeeper(nest(3), 3))
  t.notOk(nestsDeeper('[[],[],{"a":[]}]', 3))
  t.notOk(nestsDeeper(JSON.stringify(['[[[[', '\\"[[[[', '\\', '{{{{']), 1))
  t.notOk(nestsDeeper('"[[[[', 1), 'an unterminated string ends with the text')
})

t.test('the depth equals a recursive count, for every value', async () => {
  const depth = (v: unknown): number =>
    typeof v === 'object' && v !== null ? 1 + Math.max(0, ...Object.values(v).map(depth)) : 0
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), fc.integer({ min: 0, max: 8 }), (value, levels) => {
      return nestsDeeper(JSON.stringify(value), levels) === depth(value) > levels
    }),
    { numRuns: 2000 },
  )
})

t.test('the shortcut for short texts misses no body near the depth limit', async (t) => {
  const deepest = JSON.parse(nest(MAX_DEPTH)) as unknown
  t.equal(encodePayload(deepest, LIMIT, 't'), nest(MAX_DEPTH))
  t.match(
    refusal(() => encodePayload([deepest], LIMIT, 't')),
    { code: 'BYRE_BUS_PAYLOAD_INVALID' },
  )
})
