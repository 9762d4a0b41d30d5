// The loader refuses every invalid config with the path and the reason.
import fc from 'fast-check'
import t from 'tap'
import { createEmbeddedBus } from '../../src/bus/embedded.ts'
import { systemClock } from '../../src/base/clock.ts'
import { one, problemsOf } from './herd.ts'
import { refusals } from './refused.ts'
import { cpuClock } from '../helpers/cpu.ts'

for (const { title, raw, path, message } of refusals) {
  t.test(`refused with its path: ${title}`, async (t) => {
    const problems = await problemsOf(raw)
    t.ok(
      problems.some((p) => p.path === path && message.test(p.message)),
      `${path}: ${message}`,
      { found: problems },
    )
    t.same(
      problems.length,
      new Set(problems.map((p) => `${p.path} ${p.message}`)).size,
      'every problem is listed once',
    )
  })
}

t.test('the config and the bus accept the same topic patterns', async (t) => {
  const bus = createEmbeddedBus({ messageBytes: 1024, buffer: 8, clock: systemClock })
  t.teardown(() => bus.close())
  const tokens = fc.constantFrom(
    '_inbox',
    '_inboxes',
    'system',
    'a',
    '*',
    '>',
    '',
    ' ',
    'a*',
    'x'.repeat(250),
  )
  const takes = (pattern: string): boolean => {
    try {
      bus.tap(pattern, () => {})()
      return true
    } catch {
      return false
    }
  }
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.array(tokens, { maxLength: 4 }).map((some) => some.join('.')),
        fc.string({ unit: 'binary' }),
      ),
      async (pattern) =>
        takes(pattern) === ((await problemsOf(one({ activation: { topics: [pattern] } }))).length === 0),
    ),
    { numRuns: 1000 },
  )
})

t.test('values that are not JSON are refused with their paths', async (t) => {
  const cyclic: Record<string, unknown> = {}
  cyclic['self'] = { again: cyclic }
  const table: [string, unknown, string, RegExp][] = [
    ['a function', () => {}, '', /got a function\. A config is data/],
    ['a bigint', 5n, '', /got a bigint/],
    ['a symbol', Symbol('x'), '', /got a symbol$/],
    ['NaN', Number.NaN, '', /got NaN/],
    ['Infinity', -Infinity, '', /got -Infinity/],
    ['a date', new Date(), '', /got a Date/],
    ['a map', new Map(), '', /got a Map/],
    ['a buffer', Buffer.from('x'), '', /got a Uint8Array/],
    ['a promise', Promise.resolve(1), '', /got a promise\. Add 'await' before it/],
    ['an instance', new (class Thing {})(), '', /got an instance of a class/],
    ['a boxed number', Object(5), '', /got a Number/],
    ['undefined in a list', [1, undefined], '[1]', /got undefined/],
    // oxlint-disable-next-line no-sparse-arrays -- the hole is the refused value
    ['a hole', [1, , 2], '[1]', /got undefined/],
    ['a symbol key', { [Symbol('x')]: 1 }, '', /got an object with a symbol key/],
    ['itself', cyclic, '.self.again', /got an object that contains itself/],
    [
      'a getter that throws',
      {
        get secret(): string {
          throw new Error('redis://u:hunter2@h is down')
        },
      },
      '.secret',
      /cannot be read: 'redis:\/\/\*\*\*@h is down'/,
    ],
    [
      'a hostile proxy',
      new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error('no')
          },
        },
      ),
      '',
      /cannot be read: 'no'/,
    ],
    ['a revoked proxy', revoked(), '', /cannot be read/],
    ['too deep', deep(70), deepPath(60), /nested deeper than 64 levels/],
  ]
  for (const [name, config, path, message] of table) {
    const problems = await problemsOf(one({ config }))
    t.match(problems, [{ path: `workers.w.config${path}`, message }], name)
  }
})

t.test('a shared object is not a cycle, and exponential sharing is bounded', async (t) => {
  const leaf = { a: 1 }
  t.same(await problemsOf(one({ config: [leaf, leaf, { leaf }] })), [])
  let bomb: unknown = ['x']
  for (let i = 0; i < 40; i++) bomb = [bomb, bomb]
  const cpuMs = cpuClock()
  t.match(await problemsOf(one({ config: bomb })), [{ message: /more than 2000000 values/ }])
  t.match(await problemsOf(one({ config: Array.from({ length: 40 }, () => 'x'.repeat(1e6)) })), [
    { message: /characters of text/ },
  ])
  t.ok(cpuMs() < 30_000, `${Math.round(cpuMs())} ms`)
})

t.test('a cycle of 100 workers is reported in shortened form', async (t) => {
  const workers = Object.fromEntries(
    Array.from({ length: 100 }, (_, i) => [
      `w${i}`,
      { module: './workers/a.js', after: [`w${(i + 1) % 100}`] },
    ]),
  )
  const [problem, ...rest] = await problemsOf({ name: 'shop', workers })
  t.same(rest, [])
  t.match(problem, {
    path: 'workers.w0.after',
    message: /w0 -> w1 -> .* -> w9 -> \.\.\. -> w99 -> w0\. Remove one of the 100 links/,
  })
})

t.test('property: no message quotes a secret, wherever it is in the config', async () => {
  const secret = 'hunter2-hunter2'
  const wrong: fc.Arbitrary<unknown> = fc.constantFrom(
    secret,
    `redis://user:${secret}@h:x`,
    `redis://:${secret}@h/db`,
    `redis://:${secret}/@h:port/`,
    `amqp://u:${secret}@h`,
    [secret],
    { key: secret },
    { url: `http://u:${secret}@h` },
    { secret },
  )
  await fc.assert(
    fc.asyncProperty(wrong, wrong, wrong, wrong, async (bus, control, env, config) => {
      const tops = [
        { bus, control },
        { bus: { url: bus }, control: { secret: control } },
        { bus, control: { overRedis: control } },
      ]
      for (const top of tops) {
        const problems = await problemsOf(
          one({ env: { A: env, B: secret }, config: { config }, lease: true }, top),
        )
        if (JSON.stringify(problems).includes(secret.slice(0, 7))) return false
      }
      return true
    }),
    { numRuns: 300 },
  )
})

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

function deep(levels: number): unknown {
  let value: unknown = 1
  for (let i = 0; i < levels; i++) value = { d: value }
  return value
}

function deepPath(levels: number): string {
  return '.d'.repeat(levels + 1)
}
