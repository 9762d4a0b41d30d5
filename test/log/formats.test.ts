import fc from 'fast-check'
import t from 'tap'
import { formatJournal } from '../../src/log/journal-text.ts'
import { levelOfNumber, LEVEL_NUMBERS, syslogPriority } from '../../src/log/levels.ts'
import { LOG_LEVELS } from '../../src/log/logger.ts'
import { formatPretty, wantsColour } from '../../src/log/pretty.ts'

const at = new Date(2026, 0, 2, 3, 4, 5, 6).getTime()
const json = (fields: object): string => `${JSON.stringify(fields)}\n`
const stack = 'TypeError: broken\n    at file.js:1:2'

// line, pretty without colour, journal
const TABLE: readonly [string, string, string, string][] = [
  [
    'a worker with fields',
    json({ level: 30, time: at, worker: 'webhook', ms: 12, url: 'http://a/b?c=d', msg: 'delivered' }),
    '03:04:05.006 INFO  webhook  delivered  ms=12 url="http://a/b?c=d"\n',
    '<6>[webhook] delivered ms=12 url="http://a/b?c=d"\n',
  ],
  [
    'byre itself',
    json({ level: 40, time: at, msg: 'careful' }),
    '03:04:05.006 WARN  byre  careful\n',
    '<4>careful\n',
  ],
  [
    'an error with its stack',
    json({
      level: 50,
      time: at,
      worker: 'w',
      err: { type: 'TypeError', message: 'broken', stack },
      msg: 'm',
    }),
    `03:04:05.006 ERROR w  m  err.type=TypeError err.message=broken\n    TypeError: broken\n        at file.js:1:2\n`,
    String.raw`<3>[w] m err.type=TypeError err.message=broken err.stack="TypeError: broken\n    at file.js:1:2"` +
      '\n',
  ],
  [
    'several lines and control characters',
    json({
      level: 60,
      time: at,
      msg: 'one\ntwo\u001b[31m\r',
      'odd key': '\u0007',
      deep: { a: { b: 1 } },
      none: {},
    }),
    String.raw`03:04:05.006 FATAL byre  one  "odd key"="\u0007" deep.a={"b":1} none={}` +
      '\n    two\\x1b[31m\\x0d\n',
    String.raw`<2>one\ntwo\x1b[31m\x0d "odd key"="\u0007" deep.a={"b":1} none={}` + '\n',
  ],
  ['no message', json({ level: 20, time: at, a: null }), '03:04:05.006 DEBUG byre  a=null\n', '<7>a=null\n'],
  [
    'a transition',
    json({
      level: 30,
      time: at,
      worker: 'w',
      event: 'transition',
      from: 'a',
      to: 'b',
      reason: 'r',
      ms: 1,
      msg: 'a -> b: r',
    }),
    '03:04:05.006 INFO  w  a -> b: r  ms=1\n',
    '<6>[w] a -> b: r event=transition from=a to=b reason=r ms=1\n',
  ],
  ['no JSON', 'plain\n', '--:--:--.--- INFO  byre  plain\n', '<6>plain\n'],
  ['no object', '[1]\n', '--:--:--.--- INFO  byre  [1]\n', '<6>[1]\n'],
]
for (const [title, line, pretty, journal] of TABLE) {
  t.test(`formats: ${title}`, async (t) => {
    t.equal(formatPretty(line, { colour: false }), pretty)
    t.equal(formatJournal(line, false), journal)
    // oxlint-disable-next-line no-control-regex -- the pattern must match colour codes
    t.equal(formatPretty(line, { colour: true }).replace(/\u001b\[\d+m/g, ''), pretty)
  })
}

t.test('the stream of a worker omits its name', async (t) => {
  t.equal(formatJournal(json({ level: 30, worker: 'w', msg: 'm' }), true), '<6>m\n')
})

t.test('levels map to priorities and back', async (t) => {
  t.same(
    LOG_LEVELS.map((level) => syslogPriority(LEVEL_NUMBERS[level])),
    [7, 7, 6, 4, 3, 2],
  )
  for (const level of LOG_LEVELS) t.equal(levelOfNumber(LEVEL_NUMBERS[level]), level)
  t.equal(levelOfNumber(35), 'info')
  t.equal(levelOfNumber(1), 'trace')
})

t.test('no colours with NO_COLOR or on a dumb terminal', async (t) => {
  t.equal(wantsColour({}), true)
  t.equal(wantsColour({ NO_COLOR: '' }), true)
  t.equal(wantsColour({ NO_COLOR: '1' }), false)
  t.equal(wantsColour({ TERM: 'dumb' }), false)
})

t.test('any line is one entry below journald’s limit', async () => {
  const message = fc.oneof(
    fc.string({ unit: 'binary', size: 'medium' }),
    fc.integer({ min: 30_000, max: 60_000 }).map((n) => 'ü'.repeat(n)),
  )
  fc.assert(
    fc.property(message, fc.string(), fc.jsonValue(), (msg, key, value) => {
      const text = formatJournal(json({ level: 30, msg, [key]: value }), true)
      return (
        text.indexOf('\n') === text.length - 1 && Buffer.byteLength(text) < 48 * 1024 && /^<\d>/.test(text)
      )
    }),
    { numRuns: 500 },
  )
})

t.test('control characters of a line never reach the terminal', async () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', size: 'medium' }),
      fc.string({ unit: 'binary', size: 'medium' }),
      (msg, value) => {
        const text = formatPretty(json({ level: 30, worker: value, msg, [value]: value }), { colour: false })
        // oxlint-disable-next-line no-control-regex -- the pattern must match control characters
        return !/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(text)
      },
    ),
    { numRuns: 1000 },
  )
})
