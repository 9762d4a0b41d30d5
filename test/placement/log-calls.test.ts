// What a worker logs is the same line wherever it lives: one table of calls, in every placement and under `byre run`.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import type { LogLine } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

/** What is called, and what its line must say. Every call runs in a try of its own: none may throw. */
const CALLS: readonly [call: string, line: Readonly<Record<string, unknown>>][] = [
  [
    `log.info({ level: 'gold', id: 7 }, 'upgraded')`,
    { level: 30, field_level: 'gold', id: 7, msg: 'upgraded' },
  ],
  [`log.debug({ level: 60 }, 'hidden')`, {}],
  [`log.warn({ time: 'noon' }, 'with time')`, { level: 40, field_time: 'noon', msg: 'with time' }],
  [`log.info({ msg: 'inner' }, 'outer')`, { field_msg: 'inner', msg: 'outer' }],
  [`log.info({ msg: 'inner' })`, { msg: 'inner' }],
  [`log.info({ msg: 5 })`, { msg: 5 }],
  [`log.info({ worker: 'another' }, 'with worker')`, { field_worker: 'another', msg: 'with worker' }],
  [`log.child({ level: 'gold', req: 1 }).info('c')`, { level: 30, field_level: 'gold', req: 1, msg: 'c' }],
  [
    `log.child({ msg: 'b', time: 1, worker: 'x' }).info('c')`,
    { field_msg: 'b', field_time: 1, field_worker: 'x', msg: 'c' },
  ],
  [`log.child({ a: 1, b: 1 }).info({ a: 2 }, 'the call wins')`, { a: 2, b: 1 }],
  [`log.child({ get x() { throw new Error('no') } }).info('c')`, { x: '(cannot be read: no)', msg: 'c' }],
  [`log.info('hello %s you are %d', 'ann', 3)`, { msg: 'hello ann you are 3' }],
  [`log.info({ a: 1 }, '%s %j %%', 'bob', { b: 2 })`, { a: 1, msg: 'bob {"b":2} %' }],
  [`log.info('50% of %s')`, { msg: '50% of %s' }],
  [
    `log.info({ get x() { throw new Error('no') }, y: 1 }, 'getter')`,
    { x: '(cannot be read: no)', y: 1, msg: 'getter' },
  ],
  [`log.info({ big: 12345678901234567890n, in: [1n] }, 'big')`, { big: '12345678901234567890', in: ['1'] }],
  [
    `log.info({ a: { toJSON() { throw new Error('no') } } }, 'j')`,
    { a: '(cannot be serialised: no)', msg: 'j' },
  ],
  [`const c = {}; c.c = c; log.info({ c }, 'circular')`, { c: { c: '[Circular]' }, msg: 'circular' }],
  [
    `log.info({ d: new Date(0), m: new Map([[1, 2]]), u: undefined, n: NaN }, 'v')`,
    { d: '1970-01-01T00:00:00.000Z', m: {}, n: null },
  ],
  [`log.error(new TypeError('broken'))`, { level: 50, err: { type: 'TypeError' }, msg: 'broken' }],
  [`log.error({ err: new Error('E', { cause: new Error('F') }) })`, { err: { message: 'E: F' }, msg: 'E' }],
  [`log.error({ err: { message: 'no error' } })`, { err: { message: 'no error' }, msg: 'no error' }],
  [`log.info(42)`, { msg: 42 }],
  [`log.info(null)`, { msg: null }],
  [`log.info(Symbol('s'))`, { msg: 'Symbol(s)' }],
  [
    `log.info({ method: 'GET', headers: {}, socket: {}, url: '/x' }, 'req')`,
    { req: { method: 'GET', url: '/x' } },
  ],
  [
    `log.error({ text: 'x'.repeat(70000) }, 'long')`,
    { level: 50, event: 'log-line-cut', head: /^\{"level":50,"time":\d+,"worker":"/ },
  ],
  [`log.level = 'loud'`, { threw: 'unknown level loud' }],
  [`log.level = 'warn'; log.info('below'); log.warn('above'); log.level = 'info'`, { msg: 'above' }],
]

/** One word each: lines of one kind, numbers aside, would be folded. */
const MARKS = CALLS.map(
  (_, at) => `m${'z'.repeat(Math.floor(at / 25))}${String.fromCharCode(97 + (at % 25))}`,
)

const WORKER = `
const MARKS = ${JSON.stringify(MARKS)}
export async function run(ctx) {
  const { log } = ctx
  const calls = [${CALLS.map(([call]) => `() => { ${call} }`).join(',\n')}]
  for (const [at, call] of calls.entries()) {
    log.info('mark ' + MARKS[at])
    try { call() } catch (error) { log.info({ threw: error.message }, 'threw') }
  }
  log.info('mark end')
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`

/** What a worker wrote during call `at`. */
function linesOf(lines: readonly LogLine[], at: number): LogLine[] {
  const from = lines.findIndex((line) => line['msg'] === `mark ${MARKS[at]}`)
  const rest = lines.slice(from + 1)
  return rest.slice(
    0,
    rest.findIndex((line) => String(line['msg']).startsWith('mark ')),
  )
}

/** A line without what is the run's own: time, the worker's name, places in a stack. */
function comparable(line: LogLine): unknown {
  const { time: _time, worker: _worker, head: _head, err, ...rest } = line
  return typeof err === 'object' && err !== null ? { ...rest, err: { ...err, stack: undefined } } : rest
}

t.test('the same call is the same line in every placement and alone', async (t) => {
  // names of one length: the length of a line that is cut is told
  const herd = await startHerd(t, {
    workers: { s: WORKER, t: WORKER, p: WORKER },
    config: {
      workers: { s: { placement: 'shared' }, t: { placement: 'thread' }, p: { placement: 'process' } },
    },
  })
  const alone = await startHerd(t, { workers: { a: WORKER }, run: 'a' })
  const written: Record<string, LogLine[]> = {}
  for (const [name, where] of Object.entries({ s: herd, t: herd, p: herd, a: alone })) {
    await where.line({ worker: name, msg: 'mark end' })
    written[name] = where.matching({ worker: name })
  }
  for (const [at, [call, expected]] of CALLS.entries())
    await t.test(call, async (t) => {
      const shared = linesOf(written['s']!, at)
      if (Object.keys(expected).length === 0) t.same(shared, [])
      else t.match(shared, [expected])
      t.equal(shared.length, Object.keys(expected).length === 0 ? 0 : 1)
      for (const name of ['t', 'p', 'a'])
        t.same(linesOf(written[name]!, at).map(comparable), shared.map(comparable), `${name} as in shared`)
    })
  t.same(await herd.stop(), { code: 0, signal: null })
  t.same(await alone.stop(), { code: 0, signal: null })
})
