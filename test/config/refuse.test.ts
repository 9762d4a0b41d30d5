// Every refusal, by the loader itself.
import fc from 'fast-check'
import t from 'tap'
import { createEmbeddedBus } from '../../src/bus/embedded.ts'
import { systemClock } from '../../src/base/clock.ts'
import { one, problemsOf } from './herd.ts'
import { refusals } from './refused.ts'

for (const { title, raw, path, message } of refusals) {
  t.test(`refused with its path: ${title}`, async (t) => {
    const problems = await problemsOf(raw)
    t.ok(
      problems.some((p) => p.path === path && message.test(p.message)),
      `${path}: ${message}`,
      { found: problems },
    )
    t.same(problems.length, new Set(problems.map((p) => `${p.path} ${p.message}`)).size, 'no problem twice')
  })
}

t.test('a topic pattern of the config is one the bus takes, and the other way round', async (t) => {
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

t.test('what is not JSON is refused with the path of each value', async (t) => {
  const cyclic: Record<string, unknown> = {}
  cyclic['self'] = { again: cyclic }
  const table: [string, unknown, string, RegExp][] = [
    ['a function', () => {}, '', /a function is not: a config is data/],
    ['a bigint', 5n, '', /a bigint is not/],
    ['a symbol', Symbol('x'), '', /a symbol is not/],
    ['NaN', Number.NaN, '', /NaN is not/],
    ['Infinity', -Infinity, '', /-Infinity is not/],
    ['a date', new Date(), '', /a Date is not/],
    ['a map', new Map(), '', /a Map is not/],
    ['a buffer', Buffer.from('x'), '', /a Uint8Array is not/],
    ['a promise', Promise.resolve(1), '', /a promise \(write 'await' before it\) is not/],
    ['an instance', new (class Thing {})(), '', /an instance of a class is not/],
    ['a boxed number', Object(5), '', /a Number is not/],
    ['undefined in a list', [1, undefined], '[1]', /undefined is not/],
    // oxlint-disable-next-line no-sparse-arrays -- a hole is what is refused
    ['a hole', [1, , 2], '[1]', /undefined is not/],
    ['a symbol key', { [Symbol('x')]: 1 }, '', /a symbol as key is not/],
    ['itself', cyclic, '.self.again', /an object that contains itself is not/],
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

t.test('a shared object is no cycle, and an exponential one is bounded', async (t) => {
  const leaf = { a: 1 }
  t.same(await problemsOf(one({ config: [leaf, leaf, { leaf }] })), [])
  let bomb: unknown = ['x']
  for (let i = 0; i < 40; i++) bomb = [bomb, bomb]
  const startedAt = performance.now()
  t.match(await problemsOf(one({ config: bomb })), [{ message: /more than 2000000 values/ }])
  t.match(await problemsOf(one({ config: Array.from({ length: 40 }, () => 'x'.repeat(1e6)) })), [
    { message: /characters of text/ },
  ])
  t.ok(performance.now() - startedAt < 30_000, `${Math.round(performance.now() - startedAt)} ms`)
})

t.test('a cycle of 100 workers is named, shortened', async (t) => {
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

t.test('no secret is ever quoted, wherever it stands', async () => {
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
