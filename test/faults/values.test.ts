// Shared fate: what is thrown may be anything. Evidence is bounded and never makes byre itself throw.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { runRows } from './rows.ts'
import type { Fault } from './rows.ts'

leakGuard(t)

/** What is thrown, and how the evidence names it. */
const VALUES: readonly {
  readonly name: string
  readonly what: string
  readonly value: string
  readonly evidence: object
  readonly stack?: true
}[] = [
  {
    name: 'undefined',
    what: 'undefined',
    value: 'undefined',
    evidence: { type: 'undefined', message: 'undefined' },
  },
  { name: 'null', what: 'null', value: 'null', evidence: { message: 'null' } },
  {
    name: 'string',
    what: 'a string',
    value: `'just text'`,
    evidence: { type: 'string', message: 'just text' },
  },
  {
    name: 'symbol',
    what: 'a symbol',
    value: `Symbol('sign')`,
    evidence: { type: 'symbol', message: 'Symbol(sign)' },
  },
  { name: 'bigint', what: 'a bigint', value: '10n', evidence: { type: 'bigint', message: '10' } },
  { name: 'function', what: 'a function', value: '() => 1', evidence: { type: 'function' } },
  {
    name: 'object',
    what: 'a plain object',
    value: `{ status: 503 }`,
    evidence: { type: 'object', message: '{"status":503}' },
  },
  {
    name: 'bare-object',
    what: 'an object without a prototype',
    value: `Object.create(null)`,
    evidence: { type: 'object', message: '{}' },
  },
  {
    name: 'cyclic',
    what: 'a cyclic object',
    value: `(() => { const o = {}; o.self = o; return o })()`,
    evidence: { type: 'object' },
  },
  {
    name: 'getters',
    what: 'an object whose message, stack, name and code throw when read',
    value: `Object.defineProperties({}, Object.fromEntries(['message', 'stack', 'name', 'code', 'cause', 'toJSON'].map((key) => [key, { get() { throw new Error('no ' + key) } }])))`,
    evidence: { message: /throws when read/ },
  },
  {
    name: 'error-getters',
    what: 'an Error whose message, name, code and cause throw when read',
    value: `Object.defineProperties(new Error('x'), Object.fromEntries(['message', 'name', 'code', 'cause'].map((key) => [key, { get() { throw new Error('no ' + key) } }])))`,
    evidence: { message: /throws when read/ },
  },
  {
    name: 'proxy',
    what: 'a Proxy that throws on everything',
    value: `new Proxy({}, new Proxy({}, { get() { return () => { throw new Error('trap') } } }))`,
    evidence: { message: /throws when read/ },
  },
  {
    name: 'revoked',
    what: 'a revoked Proxy',
    value: `(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy })()`,
    evidence: { message: /throws when read/ },
  },
  {
    name: 'frozen',
    what: 'a frozen Error',
    value: `Object.freeze(new Error('cold'))`,
    evidence: { type: 'Error', message: 'cold' },
    stack: true,
  },
  {
    name: 'hostile-text',
    what: 'an Error whose name and message are objects with a toString that throws',
    value: `Object.assign(new Error('x'), { name: { toString() { throw new Error('no name') } }, message: { toString() { throw new Error('no text') } } })`,
    evidence: { message: /throws when read/ },
  },
  {
    name: 'circular-cause',
    what: 'an Error that is its own cause',
    value: `(() => { const e = new Error('loop'); e.cause = e; return e })()`,
    evidence: { message: 'loop', causes: undefined },
    stack: true,
  },
  {
    name: 'aggregate',
    what: 'an AggregateError',
    value: `new AggregateError([new Error('one'), new Error('two')], 'several')`,
    evidence: { type: 'AggregateError', message: 'several' },
    stack: true,
  },
  {
    name: 'enormous',
    what: 'an Error with a message of 8 MiB',
    value: `new Error('x'.repeat(8 << 20))`,
    evidence: (evidence: unknown) => JSON.stringify(evidence).length < 32 * 1024,
  },
  {
    name: 'enormous-string',
    what: 'a string of 8 MiB',
    value: `'x'.repeat(8 << 20)`,
    evidence: (evidence: unknown) => JSON.stringify(evidence).length < 32 * 1024,
  },
  {
    name: 'abort-alike',
    what: `an AbortError nobody asked for`,
    value: `new DOMException('mine', 'AbortError')`,
    evidence: { type: 'AbortError', message: 'mine' },
    stack: true,
  },
  {
    name: 'other-realm',
    what: 'an Error of another realm',
    value: `(await import('node:vm')).runInNewContext('new TypeError("elsewhere")')`,
    evidence: { type: 'TypeError', message: 'elsewhere' },
  },
]

const ROWS: readonly Fault[] = VALUES.flatMap(({ name, what, value, evidence, stack }) => {
  const common = { evidence: evidence as never, stack: stack === true, log: [{ event: 'exit' }] }
  return [
    {
      name: `run-${name}`,
      law: `run may reject with ${what}`,
      fault: `throw ${value}`,
      expect: { verdict: 'failed', ...common },
    },
    {
      name: `stray-${name}`,
      law: `a promise nobody awaits may reject with ${what}`,
      fault: `void (async () => { throw ${value} })()`,
      expect: { verdict: 'threw-stray', ...common },
      // There Node puts what is no Error into an error of its own before anybody sees it.
      elsewhere: stack === true ? {} : { evidence: { type: String } },
    },
    {
      name: `timer-${name}`,
      law: `a timer may throw ${what}`,
      fault: `const value = ${value}; setTimeout(() => { throw value }, 1)`,
      expect: { verdict: 'threw-stray', ...common },
    },
    {
      name: `immediate-${name}`,
      law: `an immediate may throw ${what}`,
      fault: `const value = ${value}; setImmediate(() => { throw value })`,
      expect: { verdict: 'threw-stray', ...common },
    },
  ]
})

void runRows(t, ROWS)
