// byre's line logger and pino receive the same calls; any difference between their lines is a bug in the line logger.
import fc from 'fast-check'
import t from 'tap'
import { errorFields } from '../../src/log/error-fields.ts'
import { createLineLogger } from '../../src/log/line-logger.ts'
import type { LogLevel, Logger } from '../../src/log/logger.ts'
import { LOG_LEVELS } from '../../src/log/logger.ts'
import { createWorkerLoggers } from '../../src/log/pino.ts'

interface Kept {
  readonly logger: Logger
  readonly lines: string[]
  readonly levels: number[]
}

function ours(level: LogLevel | 'silent' = 'trace'): Kept {
  const lines: string[] = []
  const levels: number[] = []
  const write = (line: string, n: number): void => void (lines.push(line), levels.push(n))
  return {
    logger: createLineLogger({ level, now: () => 7, write, bindings: { worker: 'w' } }),
    lines,
    levels,
  }
}

function pinos(level: LogLevel | 'silent' = 'trace'): Kept {
  const lines: string[] = []
  const levels: number[] = []
  const write = (line: string, n: number, worker: string): void => {
    if (worker !== 'w') throw new Error(`line of '${worker}'`)
    lines.push(line)
    levels.push(n)
  }
  return {
    logger: createWorkerLoggers({ level, now: () => 7, write, admit: () => true }).create('w'),
    lines,
    levels,
  }
}

function sameLines(a: Kept, b: Kept): boolean {
  const parse = (kept: Kept): string => JSON.stringify(kept.lines.map((line) => JSON.parse(line) as unknown))
  return parse(a) === parse(b) && JSON.stringify(a.levels) === JSON.stringify(b.levels)
}

class Custom extends Error {
  readonly code = 'E_CUSTOM'
  readonly details = { at: 1 }
}
const cause = new Error('inner')
const circular: Record<string, unknown> = {}
circular['self'] = circular
const CALLS: readonly [string, (log: Logger) => void][] = [
  ['a text', (log) => log.info('text')],
  ['fields and a text', (log) => log.warn({ a: 1, b: [1, { c: null }], s: 'x\u0000"\\\n' }, 'text')],
  ['fields alone', (log) => log.error({ a: true })],
  ['undefined, functions and NaN', (log) => log.info({ a: undefined, f: () => {}, n: Number.NaN }, 'm')],
  ['an error', (log) => log.error(new Custom('broken', { cause }))],
  ['an error and a text', (log) => log.fatal(new TypeError('broken') as object, 'text')],
  ['err', (log) => log.error({ err: new Error('broken') })],
  ['err and a text', (log) => log.error({ err: new Error('broken'), n: 1 }, 'text')],
  ['err that is no error', (log) => log.error({ err: 'x' }, 'text')],
  ['a child', (log) => log.child({ part: 'p', n: { m: 1 } }).info({ x: 1 }, 'text')],
  ['a child of a child', (log) => log.child({ a: 1 }).child({ b: 2 }).debug('text')],
  ['toJSON', (log) => log.info({ at: new Date(0), u: new URL('http://a/') }, 'text')],
  ['an empty text', (log) => log.info('')],
  ['a text with %s', (log) => log.info('100%s %%')],
  ['values', (log) => log.info('%s is %d, %i, %f, %j %o %O %%', 'ann', '3', 3.7, 1.5, { a: 1 }, ['b'], 'c')],
  ['too few values', (log) => log.info('%s and %s', 'one')],
  ['too many values', (log) => log.info('%s', 'one', 'two')],
  ['fields and values', (log) => log.info({ a: 1 }, 'hello %s', 'bob')],
  ['a number', (log) => log.info(42 as never)],
  ['null', (log) => log.info(null as never)],
  ['nothing', (log) => log.info(undefined as never)],
  ['an object as text', (log) => log.info({ a: 1 }, { b: 2 } as never)],
  ['a field msg alone', (log) => log.info({ msg: 'inner', err: new Error('x') })],
  [
    'members of the line',
    (log) => log.info({ level: 'gold', time: 'noon', worker: 'x', msg: 'inner' }, 'text'),
  ],
  [
    'members in a child',
    (log) => log.child({ level: 'gold', msg: 1, worker: 'x', formatters: 2 }).info('text'),
  ],
  [
    'bindings without a prototype',
    (log) => log.child(Object.create(null) as Record<string, unknown>).info('t'),
  ],
  [
    'a getter that throws',
    (log) =>
      log.info(
        {
          a: 1,
          get x(): never {
            throw new Error('no')
          },
        },
        'text',
      ),
  ],
  [
    'such a getter in a child',
    (log) =>
      log
        .child({
          get x(): never {
            throw new Error('no')
          },
        })
        .info('text'),
  ],
  [
    'a BigInt and a circular reference',
    (log) => log.info({ big: 2n ** 64n, deep: { big: [1n], circular } }, 'text'),
  ],
  [
    'a toJSON that throws',
    (log) =>
      log.info(
        {
          a: {
            toJSON() {
              throw new Error('no')
            },
          },
        },
        'text',
      ),
  ],
  [
    'a toString that throws',
    (log) =>
      log.info('%s', {
        toString() {
          throw new Error('no')
        },
      }),
  ],
  [
    'a Proxy that throws',
    (log) =>
      log.info(
        new Proxy(
          {},
          {
            ownKeys() {
              throw new Error('no')
            },
          },
        ),
        'text',
      ),
  ],
  [
    'a request',
    (log) => log.info({ method: 'GET', url: '/', headers: { a: 'b' }, socket: { remotePort: 7 } }),
  ],
]
for (const [title, call] of CALLS) {
  t.test(`the line is pino's: ${title}`, async (t) => {
    const [a, b] = [ours(), pinos()]
    for (const { logger } of [a, b]) call(logger) // both on one source line, so that the stacks are equal
    t.equal(a.lines.length, 1)
    t.same(JSON.parse(a.lines[0]!), JSON.parse(b.lines[0]!))
    t.match(JSON.parse(a.lines[0]!), { time: 7, worker: 'w' })
    t.ok(a.lines[0]!.endsWith('}\n'))
  })
}

t.test('the lines are pino’s for any JSON fields, text and level', async () => {
  const key = fc.string().filter((k) => !['level', 'time', 'msg', 'worker', 'err', '__proto__'].includes(k))
  const fields = fc.dictionary(key, fc.jsonValue(), { maxKeys: 5, noNullPrototype: true })
  fc.assert(
    fc.property(fields, fc.option(fc.string(), { nil: undefined }), fc.constantFrom(...LOG_LEVELS), run),
    { numRuns: 1000 },
  )
  function run(values: Record<string, unknown>, message: string | undefined, level: LogLevel): boolean {
    // pino treats requests and responses specially
    if ('method' in values || 'setHeader' in values) return true
    const [a, b] = [ours(), pinos()]
    for (const { logger } of [a, b]) {
      logger[level](values, message)
      logger.child(values)[level](message ?? '')
    }
    return sameLines(a, b)
  }
})

for (const [name, make] of [
  ['byre', ours],
  ['pino', pinos],
] as const) {
  t.test(`${name}: a level passes itself and higher levels, silent none`, async (t) => {
    for (const level of [...LOG_LEVELS, 'silent'] as const) {
      const { logger, levels } = make(level)
      for (const each of LOG_LEVELS) logger[each]('x')
      t.same(levels, level === 'silent' ? [] : [10, 20, 30, 40, 50, 60].slice(LOG_LEVELS.indexOf(level)))
      t.equal(logger.level, level)
    }
  })

  t.test(
    `${name}: children use their parent's level, also when it changes, until theirs is set`,
    async (t) => {
      const { logger, levels } = make('info')
      const child = logger.child({ a: 1 }).child({ b: 1 })
      const own = logger.child({ c: 1 })
      own.level = 'error'
      child.debug('no')
      logger.level = 'debug'
      child.debug('yes')
      own.info('no')
      own.error('yes')
      t.same(levels, [20, 50])
      t.equal(child.level, 'debug')
      t.equal(own.level, 'error')
    },
  )
}

t.test('a value that cannot be serialised is described, the rest of the line is kept', async (t) => {
  const { logger, lines } = ours()
  logger.info({ a: 1, circular, big: 1n, z: 2 }, 'text')
  t.match(JSON.parse(lines[0]!), {
    a: 1,
    circular: { self: '[Circular]' },
    big: '1',
    z: 2,
    msg: 'text',
  })
  const hostile = {
    a: 1,
    get err(): unknown {
      throw new Error('no')
    },
  }
  logger.info(hostile)
  t.match(JSON.parse(lines[1]!), { a: 1, err: '(cannot be read: no)' })
})

t.test('a field with the name of a standard member is renamed and keeps its value', async (t) => {
  const { logger, lines } = ours()
  logger.info({ level: 'gold', time: 'noon', worker: 'x', msg: 'inner', id: 7 }, 'text')
  t.same(JSON.parse(lines[0]!), {
    level: 30,
    time: 7,
    worker: 'w',
    field_level: 'gold',
    field_time: 'noon',
    field_worker: 'x',
    field_msg: 'inner',
    id: 7,
    msg: 'text',
  })
})

for (const [name, make] of [
  ['byre', ours],
  ['pino', pinos],
] as const)
  t.test(`${name}: an unknown level is rejected`, async (t) => {
    const { logger } = make('info')
    t.throws(() => (logger.level = 'loud' as LogLevel), { message: 'unknown level loud' })
    t.equal(logger.level, 'info')
  })

t.test('a graph of any size is bounded', async (t) => {
  let wide: unknown = 1n
  for (let i = 0; i < 40; i++) wide = [wide, wide] // 2 ** 40 members when followed
  const { logger, lines } = ours()
  logger.info({ wide }, 'text')
  t.match(JSON.parse(lines[0]!), { msg: 'text' })
})

t.test('errors: causes joined, own members kept, throwing getters and endless causes bounded', async (t) => {
  const looping: Error & { cause?: unknown } = new Error('loop')
  looping.cause = looping
  t.match(errorFields(looping), { type: 'Error', message: 'loop' })
  t.match(errorFields(new Custom('outer', { cause })), {
    type: 'Custom',
    message: 'outer: inner',
    stack: /outer[^]*caused by: Error: inner/,
    code: 'E_CUSTOM',
    details: { at: 1 },
  })
  t.match(errorFields(new Error('outer', { cause: 'a text' })), { message: 'outer: a text' })
  let deep = new Error('0')
  for (let i = 1; i < 100; i++) deep = new Error(`${i}`, { cause: deep })
  t.equal((errorFields(deep) as { message: string }).message, '99: 98: 97: 96: 95: 94')
  const hostile = Object.defineProperty(new Error('m'), 'code', {
    enumerable: true,
    get() {
      throw new Error('no')
    },
  })
  t.match(errorFields(hostile), { type: 'Error', message: 'm' })
  const huge = Object.assign(new Error('m'), { body: 'x'.repeat(100_000) })
  t.notOk('body' in (errorFields(huge) as object))
  const fooled = Object.defineProperty(new Error('m'), 'constructor', { value: null })
  t.match(errorFields(fooled), { type: 'Error' })
  t.equal(errorFields('x'), 'x')
})
