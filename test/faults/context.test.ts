// Shared fate: misuse of what ctx offers, and output without end.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { runRows } from './rows.ts'
import type { Expected, Fault } from './rows.ts'

leakGuard(t)

const refused = (code: string, more: Partial<Expected> = {}): Expected => ({
  verdict: 'failed',
  evidence: { type: 'ByreError', code },
  ...more,
})

const BUS: readonly Fault[] = [
  {
    name: 'cycle',
    law: 'a cyclic payload is refused to its publisher',
    fault: `const a = {}; a.a = a; await ctx.bus.publish('news', a)`,
    expect: refused('BYRE_BUS_PAYLOAD_INVALID'),
  },
  {
    name: 'bigint',
    law: 'a payload with a BigInt is refused to its publisher',
    fault: `await ctx.bus.publish('news', { n: 1n })`,
    expect: refused('BYRE_BUS_PAYLOAD_INVALID'),
  },
  {
    name: 'to-json',
    law: 'a payload whose toJSON throws fails its publisher only',
    fault: `await ctx.bus.publish('news', { toJSON() { throw new RangeError('no json') } })`,
    expect: { verdict: 'failed', stack: false },
  },
  {
    name: 'reserved',
    law: 'publishing to system.> is refused',
    fault: `await ctx.bus.publish('system.s01.control', { v: 1, id: 'x', action: 'stop', by: 'bad' })`,
    expect: refused('BYRE_BUS_TOPIC_RESERVED'),
  },
  {
    name: 'too-large',
    law: 'a message of 2 MiB is refused with its size and the limit',
    fault: `await ctx.bus.publish('news', 'x'.repeat(2 << 20))`,
    expect: refused('BYRE_BUS_PAYLOAD_TOO_LARGE'),
  },
  {
    name: 'never-reads',
    law: 'a subscriber that never reads loses its own messages, counted, and holds nobody up',
    imports: '',
    fault: `ctx.bus.subscribe('flood.>', { buffer: 10 })`,
    expect: {},
    also: async (t, { herd, clerk, row }) => {
      await clerk.publish('flood.x', { some: 'payload' }, 5000)
      const worker = await herd.untilWorker(row.name, (w) => (w.busDropped ?? 0) >= 4990)
      t.equal(worker.busDropped, 4990)
    },
  },
  {
    name: 'overflow-fails',
    law: `a full buffer with overflow 'fail' ends the iteration of that subscriber`,
    fault: `
  const sub = ctx.bus.subscribe('burst', { buffer: 2, overflow: 'fail' })
  for (let i = 0; i < 5; i++) await ctx.bus.publish('burst', i)
  for await (const _ of sub);`,
    expect: refused('BYRE_BUS_OVERFLOW', { stack: false }),
  },
  {
    name: 'no-answer',
    law: 'a request nobody answers times out for the one who asked',
    fault: `await ctx.bus.request('nobody.there', 1, { timeout: 20 })`,
    expect: refused('BYRE_BUS_REQUEST_TIMEOUT', { stack: false }),
  },
  {
    name: 'bad-topic',
    law: 'a topic with a wildcard cannot be published to',
    fault: `await ctx.bus.publish('a.*', 1)`,
    expect: refused('BYRE_BUS_TOPIC_INVALID'),
  },
  {
    name: 'no-streams',
    law: 'streams on the embedded bus are refused, naming the Redis bus',
    fault: `await ctx.bus.enqueue('jobs', 1)`,
    expect: refused('BYRE_BUS_UNSUPPORTED', { evidence: { message: /[Rr]edis/ } }),
  },
]

const CONTEXT: readonly Fault[] = [
  {
    name: 'use-rejects',
    law: 'a resource whose create rejects fails the worker that asked for it, and is created anew for the next',
    fault: `
  globalThis.creates ??= 0
  const pool = { key: 'pool', create() { if (globalThis.creates++ === 0) throw new Error('no pool'); return 'pool ' + globalThis.creates } }
  if (payload !== 'second') await ctx.use(pool)
  ctx.log.info({ event: 'used', value: await ctx.use(pool) }, 'used')`,
    expect: { verdict: 'failed', evidence: { type: 'Error', message: 'no pool' } },
    also: async (t, { herd, clerk, row, from }) => {
      await clerk.publish(`go.${row.name}`, 'second')
      await herd.line({ worker: row.name, event: 'used', value: 'pool 2' }, from)
      t.same(herd.matching({ event: 'dispose-failed' }, from), [], 'what was never created is not disposed')
    },
  },
  {
    name: 'use-later',
    law: 'a timer that a resource starts and that throws is charged to the worker whose code it is',
    fault: `await ctx.use({ key: 'bomb', create() { setTimeout(() => { throw new Error('in the pool') }, 1); return 1 } })`,
    expect: { verdict: 'threw-stray', evidence: { message: 'in the pool' } },
  },
  {
    name: 'dispose-throws',
    law: 'a dispose that throws is told and stops nobody',
    fault: `await ctx.use({ key: 'sticky', create: () => 1, dispose() { throw new Error('stuck') } }); throw new Error('end')`,
    expect: { verdict: 'failed', evidence: { message: 'end' } },
    also: async (_, { herd, from }) =>
      void (await herd.line({ event: 'dispose-failed', resource: 'sticky', message: 'stuck' }, from)),
  },
  {
    name: 'offload-throws',
    law: 'an offloaded module that throws rejects for the worker that called it',
    files: {
      'lib/heavy.mjs': `export default function heavy(input) { throw new RangeError('too heavy: ' + input) }`,
    },
    fault: `await ctx.offload(new URL('../lib/heavy.mjs', import.meta.url), 7)`,
    expect: { verdict: 'failed', stack: false, evidence: { type: 'RangeError', message: 'too heavy: 7' } },
  },
  {
    name: 'offload-broken',
    law: 'an offloaded module that cannot be loaded rejects for the worker that called it',
    files: { 'lib/broken-heavy.mjs': `throw new Error('heavy load')` },
    fault: `await ctx.offload(new URL('../lib/broken-heavy.mjs', import.meta.url), 7)`,
    expect: { verdict: 'failed', stack: false, evidence: { message: 'heavy load' } },
  },
  {
    name: 'offload-exits',
    law: 'an offloaded module that exits its thread rejects for the worker that called it',
    files: { 'lib/exiting.mjs': `export default () => process.exit(3)` },
    fault: `await ctx.offload(new URL('../lib/exiting.mjs', import.meta.url), 7)`,
    expect: { verdict: 'failed', stack: false },
  },
  {
    name: 'bad-period',
    law: 'a period outside its range is refused with the range',
    fault: `ctx.every('1ms', () => {})`,
    expect: refused('BYRE_ARGUMENT_INVALID', { evidence: { message: /between 10ms and 365d/ } }),
  },
  {
    name: 'no-credential',
    law: 'a missing credential is named with the remedy',
    fault: `ctx.credential('db')`,
    expect: refused('BYRE_CREDENTIAL_MISSING', { evidence: { message: /LoadCredential=db/ } }),
  },
  {
    name: 'frozen-config',
    law: `a worker cannot change its config for its next run`,
    config: { config: { retries: 5, deep: { list: [1] } } },
    fault: `'use strict'; ctx.config.deep.list.push(2)`,
    expect: { verdict: 'failed', evidence: { type: 'TypeError' } },
  },
]

const OUTPUT: readonly Fault[] = [
  {
    name: 'console',
    law: `console.* of a worker are its log lines, with their level`,
    fault: `console.log('to out %d', 1); console.error('to err'); console.warn('careful')`,
    expect: {
      log: [
        { msg: 'to out 1', level: 30 },
        { msg: 'to err', level: (level: number) => level >= 40 },
        { msg: 'careful', level: 40 },
      ],
    },
  },
  {
    name: 'raw-write',
    law: `what a worker writes to stdout and stderr are its log lines, whole`,
    fault: `process.stdout.write('half a '); process.stdout.write('line\\nand '); await wait(5); process.stdout.write(Buffer.from('more\\n')); process.stderr.write('err\\n')`,
    expect: { log: [{ msg: 'half a line' }, { msg: 'and more' }, { msg: 'err' }] },
  },
  {
    name: 'long-line',
    law: `a captured line is cut at 8 KiB and says so`,
    fault: `process.stdout.write('y'.repeat(100_000) + '\\n')`,
    expect: { log: [{ msg: (text: string) => /^y+/.test(text) && text.length <= 8192 }] },
  },
  {
    name: 'flood',
    law: 'a flood of output is bounded, counted and told',
    fault: `for (let i = 0; i < 20_000; i++) { console.log('line', i); process.stderr.write('e' + i + '\\n') }`,
    expect: { log: [{ event: 'output-held-back', heldBack: (n: number) => n > 1000 }] },
    also: async (t, { herd, row, from }) => {
      t.ok(herd.matching({ worker: row.name }, from).length < 1000)
    },
  },
  {
    name: 'log-flood',
    law: 'a flood of log lines of one kind is folded with a count',
    fault: `for (let i = 0; i < 5_000; i++) ctx.log.info({ i }, 'the same again ' + i)`,
    expect: {},
    also: async (t, { herd, row, from }) => {
      t.ok(herd.matching({ worker: row.name, msg: /the same again/ }, from).length <= 101)
    },
  },
  {
    name: 'console-hostile',
    law: 'console.log of a hostile object fails its worker at most',
    fault: `console.log({ get [Symbol.toStringTag]() { throw new Error('tag') }, [Symbol.for('nodejs.util.inspect.custom')]() { throw new Error('inspect') } })`,
    expect: { verdict: 'failed', evidence: { message: /inspect|tag/ } },
  },
  {
    name: 'log-hostile',
    law: 'logging a hostile object fails its worker at most',
    fault: `
  try { ctx.log.info({ get x() { throw new Error('getter') } }, 'hostile getter') } catch {}
  const cyclic = {}; cyclic.self = cyclic
  try { ctx.log.info({ cyclic, big: 1n }, 'hostile value') } catch {}
  ctx.log.info({ event: 'went-on' }, 'went on')`,
    expect: { log: [{ event: 'went-on' }] },
  },
]

void runRows(t, [...BUS, ...CONTEXT, ...OUTPUT])
