// What a worker asks of resources that are modules of their own, and what must come of it in every placement.

const DB = `
import { isMainThread } from 'node:worker_threads'
let made = 0
let open = defer()
function defer() { const d = {}; d.promise = new Promise((r) => (d.resolve = r)); return d }
class Base { inherited() { return 'from the base' } }
class Db extends Base {
  calls = 0
  told = new Map()
  input
  constructor(input) { super(); this.input = input }
  get trap() { throw new Error('a getter is no method') }
  count() { return ++this.calls }
  tell(who) { const n = (this.told.get(who) ?? 0) + 1; this.told.set(who, n); return n }
  given() { return this.input }
  here() { return { pid: process.pid, main: isMainThread, made } }
  echo(...args) { return { args, length: args.length } }
  nothing() {}
  thenable() { return { then: (resolve) => resolve('inner') } }
  date() { return { rows: [{ at: new Date(0) }] } }
  map() { return new Map() }
  large() { return 'x'.repeat(2_000_000) }
  cycle() { const a = {}; a.a = a; return a }
  gap() { return [1, undefined] }
  fail() { throw Object.assign(new RangeError('no such row', { cause: new TypeError('why') }), { code: 'E_ROW' }) }
  text() { return Promise.reject('only text') }
  hostile() { return Promise.reject({ get message() { throw new Error('trap') } }) }
  exit() { process.exit(7) }
  stray() { setTimeout(() => { throw new Error('in the timer of the resource') }, 1) }
  wait() { return open.promise }
  openIn(ms) { setTimeout(() => { open.resolve('opened'); open = defer() }, ms) }
  toJSON() { return 'never called' }
}
export const create = (input) => { made++; return new Db(input) }
export const dispose = (db) => console.log('disposed after ' + db.calls)
`

/** Resource modules, and what is asked of them. */
export const FILES: Readonly<Record<string, string>> = {
  'lib/db.mjs': DB,
  'lib/other.mjs': `export const create = () => ({ hello: () => 'other' })`,
  'lib/cjs.cjs': `module.exports = { create: () => ({ hello: () => 'common' }) }`,
  'lib/throws.mjs': `throw Object.assign(new SyntaxError('not today'), { code: 'E_LOAD' })`,
  'lib/once.mjs': `
globalThis.loads = (globalThis.loads ?? 0) + 1
if (globalThis.loads % 2 === 1) throw new Error('the first time')
export const create = () => ({ hello: () => 'the second time' })`,
  'lib/rejects.mjs': `
let tries = 0
export const create = () => {
  if (++tries % 2 === 0) return { hello: () => 'up' }
  setInterval(function ofTheFailed() {}, 1e6)
  throw Object.assign(new Error('down'), { code: 'E_DOWN' })
}`,
  'lib/never.mjs': `export const create = () => new Promise(() => {})`,
  'lib/shapeless.mjs': `export const make = 1`,
  'lib/number.mjs': `
export const create = () => 42
export const dispose = (value) => console.log('disposed of the number ' + value)`,
  'lib/empty.mjs': `export const create = () => ({ size: 1 })`,
  'lib/ticks.mjs': `
setInterval(function ofTheModule() {}, 1e6)
export const create = () => {
  setInterval(function ofTheValue() {}, 1e6)
  for (let i = 0; i < 500; i++) console.log('line ' + i)
  return { abort: () => process.abort(), hello: () => 'ticking' }
}`,
  'lib/stuck.mjs': `
export const create = () => ({ hello: () => 'stuck' })
export const dispose = () => { throw new Error('does not close') }`,
}

/** What each thing asked for comes to: a value, or the error. */
export const ROWS = `
const at = (file) => new URL('../lib/' + file, import.meta.url)
const use = (ctx, file, more) => ctx.use({ key: file, module: at(file), ...more })
const db = (ctx, more) => use(ctx, 'db.mjs', more)
export const rows = {
  methods: async (ctx) => Object.keys(await db(ctx)).sort().join(),
  frozen: async (ctx) => Object.isFrozen(await db(ctx)),
  'no thenable': async (ctx) => 'then' in (await db(ctx)),
  text: async (ctx) => [String(await db(ctx)), JSON.stringify(await db(ctx))],
  'no receiver': async (ctx) => { const { inherited } = await db(ctx); return inherited() },
  here: async (ctx) => (await db(ctx)).here(),
  input: async (ctx) => (await use(ctx, 'db.mjs', { key: 'with input', input: { url: 'x', list: [1] } })).given(),
  'no input': async (ctx) => (await db(ctx)).given(),
  echo: async (ctx) => (await db(ctx)).echo(null, true, -1.5e300, 'ü\\n\\ud800', [1, [2]], { a: { b: undefined, c: '' }, ['__proto__']: 1 }),
  tail: async (ctx) => (await db(ctx)).echo(1, undefined, undefined),
  copies: async (ctx) => {
    const mine = { n: 1 }
    const answer = (await db(ctx)).echo(mine)
    mine.n = 2
    const { args } = await answer
    return [args[0].n, args[0] === mine]
  },
  nothing: async (ctx) => (await (await db(ctx)).nothing()) === undefined,
  thenable: async (ctx) => (await db(ctx)).thenable(),
  'hole argument': async (ctx) => (await db(ctx)).echo(undefined, 1),
  'date argument': async (ctx) => (await db(ctx)).echo({ since: [new Date(0)] }),
  'function argument': async (ctx) => (await db(ctx)).echo(() => 1),
  'instance argument': async (ctx) => (await db(ctx)).echo({ order: new (class Order {})() }),
  'array instance argument': async (ctx) => (await db(ctx)).echo({ rows: new (class Rows extends Array {})() }),
  'bytes argument': async (ctx) => (await db(ctx)).echo(Buffer.from('x')),
  'bigint argument': async (ctx) => (await db(ctx)).echo(1n),
  'nan argument': async (ctx) => (await db(ctx)).echo([NaN]),
  'symbol argument': async (ctx) => (await db(ctx)).echo(Symbol('x')),
  'getter argument': async (ctx) => (await db(ctx)).echo({ get a() { throw new Error('mine') } }),
  'deep argument': async (ctx) => (await db(ctx)).echo(JSON.parse('['.repeat(600) + ']'.repeat(600))),
  'large argument': async (ctx) => (await db(ctx)).echo('x'.repeat(2_000_000)),
  'date result': async (ctx) => (await db(ctx)).date(),
  'map result': async (ctx) => (await db(ctx)).map(),
  'large result': async (ctx) => (await db(ctx)).large(),
  'cyclic result': async (ctx) => (await db(ctx)).cycle(),
  'gap in a result': async (ctx) => (await db(ctx)).gap(),
  throws: async (ctx) => (await db(ctx)).fail(),
  'rejects with text': async (ctx) => (await db(ctx)).text(),
  'rejects with a hostile object': async (ctx) => (await db(ctx)).hostile(),
  exits: async (ctx) => (await db(ctx)).exit(),
  'stray error': async (ctx) => (await db(ctx)).stray(),
  commonjs: async (ctx) => (await use(ctx, 'cjs.cjs')).hello(),
  'string path': async (ctx) => (await ctx.use({ key: 'other', module: at('other.mjs').pathname })).hello(),
  'another module': async (ctx) => { await db(ctx); await ctx.use({ key: 'db.mjs', module: at('other.mjs') }) },
  'another input': async (ctx) => { await db(ctx); await db(ctx, { input: 1 }) },
  'throws at load': (ctx) => use(ctx, 'throws.mjs'),
  'no such file': (ctx) => use(ctx, 'absent.mjs'),
  'loads the second time': async (ctx) => { await use(ctx, 'once.mjs').catch(() => {/* it throws the first time */}); return (await use(ctx, 'once.mjs')).hello() },
  'create rejects': (ctx) => use(ctx, 'rejects.mjs'),
  'created the second time': async (ctx) => (await use(ctx, 'rejects.mjs')).hello(),
  'create never settles': (ctx) => use(ctx, 'never.mjs', { timeout: '50ms' }),
  'no create': (ctx) => use(ctx, 'shapeless.mjs'),
  'a number': (ctx) => use(ctx, 'number.mjs'),
  'no methods': (ctx) => use(ctx, 'empty.mjs'),
  'bad options': (ctx) => ctx.use({ key: '', module: './db.mjs', timeout: 0, creat: 1 }),
  'input that is no JSON': (ctx) => use(ctx, 'other.mjs', { input: { at: new Date(0) } }),
  'both forms': (ctx) => ctx.use({ key: 'x', module: at('db.mjs'), create: () => 1 }),
  timeout: async (ctx) => (await db(ctx, { timeout: 3000 })).wait(),
  'too many calls': async (ctx) => {
    const { wait, openIn } = await db(ctx)
    const first = wait()
    await openIn(1)
    await first // and with it the one of the row before
    const calls = [...Array.from({ length: 254 }, () => wait()), openIn(1)] // one creation hangs since above
    const refused = await wait().catch((error) => error)
    await Promise.all(calls)
    return { code: refused.code, message: refused.message, after: await (await db(ctx)).inherited() }
  },
  'too many resources': async (ctx) => {
    let held = 0
    for (;; held++) await use(ctx, 'other.mjs', { key: 'other ' + held })
  },
  'too much in calls': async (ctx) => {
    const { echo } = await db(ctx)
    const calls = Array.from({ length: 20 }, () => echo('x'.repeat(1_000_000)).then(() => 'answered', ({ code }) => code))
    return (await Promise.all(calls)).join()
  },
  'publish while calls hang': async (ctx) => {
    const { wait, openIn } = await db(ctx)
    const calls = Array.from({ length: 16 }, () => wait('x'.repeat(1_040_000)))
    const told = await ctx.bus.publish('nobody.listens', 'x'.repeat(900_000)).then(() => 'published', ({ code }) => code)
    await openIn(1)
    await Promise.all(calls)
    return told
  },
  'call while publishes wait': async (ctx) => {
    const { echo } = await db(ctx)
    const published = Array.from({ length: 20 }, () => ctx.bus.publish('nobody.listens', 'x'.repeat(900_000)).catch(() => {})) // some are still under way at the end
    const told = await echo('x'.repeat(900_000)).then(() => 'answered', ({ code }) => code)
    await Promise.all(published)
    return told
  },
}
export const outcome = (row, ctx) =>
  Promise.resolve().then(() => row(ctx)).then(
    (value) => ({ value }),
    (error) => ({ is: error instanceof Error, name: error.name, message: error.message, code: error.code, cause: error.cause }),
  )
`

const value = (value: unknown): object => ({ value })
const refused = (code: string, message: RegExp | string, more: object = {}): object => ({
  is: true,
  name: 'ByreError',
  code,
  message,
  ...more,
})
const METHODS =
  'count,cycle,date,echo,exit,fail,gap,given,here,hostile,inherited,large,map,nothing,openIn,stray,tell,text,thenable,wait'

/** By row; 'W' is the worker. */
export const EXPECTED: Readonly<Record<string, object>> = {
  methods: value(METHODS),
  frozen: value(true),
  'no thenable': value(false),
  text: value(['[object Object]', '{}']),
  'no receiver': value('from the base'),
  here: { value: { main: true, made: Number } },
  input: value({ url: 'x', list: [1] }),
  'no input': value(null),
  echo: { value: { args: [null, true, -1.5e300, 'ü\n\ud800', [1, [2]], { a: { c: '' } }], length: 6 } },
  tail: value({ args: [1], length: 1 }),
  copies: value([1, false]),
  nothing: value(true),
  thenable: value('inner'),
  'hole argument': refused(
    'BYRE_RESOURCE_VALUE',
    /call 'echo' of resource 'db.mjs': arguments\[0\] is undefined/,
  ),
  'date argument': refused('BYRE_RESOURCE_VALUE', /: arguments\[0\]\.since\[0\] is an instance of Date, /),
  'function argument': refused(
    'BYRE_RESOURCE_VALUE',
    /: arguments\[0\] is a function, and only JSON crosses/,
  ),
  'instance argument': refused('BYRE_RESOURCE_VALUE', /: arguments\[0\]\.order is an instance of Order, /),
  'array instance argument': refused(
    'BYRE_RESOURCE_VALUE',
    /: arguments\[0\]\.rows is an instance of Rows, /,
  ),
  'bytes argument': refused('BYRE_RESOURCE_VALUE', /: arguments\[0\] is an instance of Buffer, /),
  'bigint argument': refused('BYRE_RESOURCE_VALUE', /: arguments\[0\] is a bigint, /),
  'nan argument': refused('BYRE_RESOURCE_VALUE', /: arguments\[0\]\[0\] is NaN, /),
  'symbol argument': refused('BYRE_RESOURCE_VALUE', /: arguments\[0\] is a symbol, /),
  'getter argument': refused('BYRE_RESOURCE_VALUE', /: arguments throws when read: mine, /),
  'deep argument': refused('BYRE_RESOURCE_VALUE', /nests deeper than 512 levels/),
  'large argument': refused(
    'BYRE_RESOURCE_TOO_LARGE',
    /arguments may have 1048576 bytes of JSON, got at least 2000003/,
  ),
  'date result': refused(
    'BYRE_RESOURCE_VALUE',
    /return from 'date' of .*: its result\.rows\[0\]\.at is an instance of Date/,
  ),
  'map result': refused('BYRE_RESOURCE_VALUE', /its result is an instance of Map/),
  'large result': refused(
    'BYRE_RESOURCE_TOO_LARGE',
    /its result may have 1048576 bytes of JSON, got at least 2000002/,
  ),
  'cyclic result': refused('BYRE_RESOURCE_VALUE', /nests deeper than 512 levels, or contains itself/),
  'gap in a result': refused('BYRE_RESOURCE_VALUE', /its result\[1\] is undefined/),
  throws: { is: true, name: 'RangeError', message: 'no such row', code: 'E_ROW', cause: 'TypeError: why' },
  'rejects with text': { is: true, name: 'Error', message: 'only text' },
  'rejects with a hostile object': { is: true, name: 'Error', message: /throws when read/ },
  exits: { is: true, code: 'BYRE_PROCESS_EXIT' },
  'stray error': value(undefined),
  commonjs: value('common'),
  'string path': value('other'),
  'another module': refused(
    'BYRE_RESOURCE_CONFLICT',
    /lib\/other\.mjs: worker 'W' uses it from .*lib\/db\.mjs\./,
  ),
  'another input': refused('BYRE_RESOURCE_CONFLICT', /with another input than worker 'W' gave/),
  'throws at load': refused('BYRE_RESOURCE_LOAD', /lib\/throws\.mjs: SyntaxError: not today$/, {
    cause: 'SyntaxError: not today',
  }),
  'no such file': refused('BYRE_RESOURCE_LOAD', /Cannot find module .*absent\.mjs/),
  'loads the second time': value('the second time'),
  'create rejects': { is: true, name: 'Error', message: 'down', code: 'E_DOWN' },
  'created the second time': value('up'),
  'create never settles': refused(
    'BYRE_RESOURCE_TIMEOUT',
    /use resource 'never\.mjs': no answer within 50ms/,
  ),
  'no create': refused('BYRE_RESOURCE_SHAPE', /must export a function 'create', got exports make\./),
  'a number': refused('BYRE_RESOURCE_SHAPE', /must give an object with methods, got number/),
  'no methods': refused('BYRE_RESOURCE_SHAPE', /must have 1 to 1000 methods, got 0/),
  'bad options': refused(
    'BYRE_ARGUMENT_INVALID',
    /4 problems\n {2}creat: .*\n {2}key: .*\n {2}module: .*\n {2}timeout: /,
  ),
  'input that is no JSON': refused('BYRE_RESOURCE_VALUE', /: input\.at is an instance of Date/),
  'both forms': refused('BYRE_ARGUMENT_INVALID', /create: unknown key/),
  timeout: refused('BYRE_RESOURCE_TIMEOUT', /call 'wait' of resource 'db\.mjs': no answer within 3s/),
  'too many calls': {
    value: {
      code: 'BYRE_RESOURCE_BUSY',
      message: /256 calls of worker 'W' to resources, /,
      after: 'from the base',
    },
  },
  'too many resources': refused(
    'BYRE_RESOURCE_BUSY',
    /'other \d+': this run of worker 'W' holds 64 resources already/,
  ),
  'too much in calls': value([...Array(16).fill('answered'), ...Array(4).fill('BYRE_RESOURCE_BUSY')].join()),
  'publish while calls hang': value('published'),
  'call while publishes wait': value('answered'),
}
