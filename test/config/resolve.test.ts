import { join } from 'node:path'
import t from 'tap'
import { resolvedHerd, resolvedWorker } from '../helpers/resolved.ts'
import { file, folder, herdOf, one, problemsOf } from './herd.ts'
import { cpuClock } from '../helpers/cpu.ts'

t.test('the smallest config gets every default', async (t) => {
  const path = join(folder, 'workers/a.js')
  const worker = resolvedWorker('w', { source: { kind: 'module', path } })
  t.same(await herdOf(one()), resolvedHerd([worker], { file, folder }))
})

t.test(
  "a worker's value overrides defaults, which override byre's; nested objects merge key by key",
  async (t) => {
    const herd = await herdOf({
      name: 'shop',
      defaults: {
        group: 'batch',
        restart: 'always',
        backoff: { base: '2s', max: '30s' },
        limit: { failures: 2 },
        stall: { detect: false },
        env: { A: 'shared', B: 'shared' },
        activation: { every: '1m' },
        sleepAfter: '5m',
        ready: 'call',
      },
      workers: {
        a: { module: 'workers/a.js' },
        b: {
          module: join(folder, 'workers/b.mjs'),
          group: 'own',
          restart: 'never',
          backoff: { base: '3s' },
          limit: { within: '1m' },
          stall: { after: '2s' },
          env: { B: 'own' },
          activation: 'eager',
          placement: 'thread',
        },
        c: { script: 'workers/a.js', args: ['-x', ''], cwd: 'data', placement: 'process', sleepAfter: '1h' },
      },
    })
    const [a, b, c] = herd.workers
    t.match(a, { group: 'batch', restart: 'always', ready: 'call', env: { A: 'shared', B: 'shared' } })
    t.same(a?.activation, { kind: 'lazy', topics: [], streams: [], everyMs: 60_000 })
    t.notOk('sleepAfterMs' in a!, 'sleepAfter in defaults does not apply to shared workers')
    t.match(b, {
      group: 'own',
      restart: 'never',
      activation: { kind: 'eager' },
      env: { A: 'shared', B: 'own' },
    })
    t.same(b?.backoff, { firstMs: 0, baseMs: 3000, factor: 2, maxMs: 30_000, resetAfterMs: 600_000 })
    t.same(b?.limit, { failures: 2, withinMs: 60_000 })
    t.same(b?.stall, { detect: false, afterMs: 2000, profile: false })
    t.equal(b?.sleepAfterMs, 300_000)
    t.same(c?.source, { kind: 'script', path: join(folder, 'workers/a.js'), args: ['-x', ''] })
    t.match(c, { cwd: join(folder, 'data'), sleepAfterMs: 3_600_000, ready: 'start' })
    t.same(Object.keys(herd.groups), ['batch', 'own'])
  },
)

t.test('every key of the contract is accepted', async (t) => {
  const herd = await herdOf({
    $schema: './node_modules/byre/schema/byre.config.schema.json',
    name: 'shop',
    bus: 'rediss://user:pa%20ss@redis.example:6380/3',
    http: { listen: '[::1]:9464' },
    groups: { batch: { memoryHigh: '300MiB', memoryMax: '400MiB' }, idle: {} },
    control: { secret: 'sixteen or more characters' },
    admission: { max: 4, queue: 1000 },
    sampler: { enabled: false, interval: '1m' },
    limits: { message: '64KiB', buffer: 10 },
    onUnattributed: 'report',
    workers: {
      webhook: {
        module: './workers/a.js',
        group: 'batch',
        config: { retries: 5, constructor: [null, true, -0, 'x'] },
        activation: {
          topics: ['webhook.>', 'webhook.>', 'a.*.b'],
          streams: ['jobs'],
          cron: '*/5 * * * *',
          timezone: 'Europe/Berlin',
        },
        onLimit: 'exit',
        onStall: 'eject',
        after: ['other', 'other'],
        requires: ['other'],
        critical: true,
        memoryMax: '50MiB',
        lease: { ttl: '10s' },
        weight: 0.5,
        needs: {
          network: 'outbound',
          paths: ['data', '/var/lib/x'],
          groups: ['adm'],
          capabilities: ['CAP_NET_BIND_SERVICE'],
        },
      },
      other: { module: './workers/b.mjs', lease: true, activation: { cron: '@hourly' } },
      none: {
        module: './workers/b.mjs',
        group: 'idle',
        lease: false,
        config: null,
        undefinedIsAbsent: undefined,
      },
    },
  })
  t.same(herd.bus, { kind: 'redis', url: 'rediss://user:pa%20ss@redis.example:6380/3' })
  t.same(herd.http, { host: '::1', port: 9464 })
  t.same(herd.groups, {
    batch: { memoryHighBytes: 314_572_800, memoryMaxBytes: 419_430_400 },
    idle: {},
    default: {},
  })
  t.same(herd.sampler, { enabled: false, intervalMs: 60_000 })
  t.same(herd.limits, { messageBytes: 65_536, buffer: 10 })
  const [webhook, other, none] = herd.workers
  t.same(webhook?.activation, {
    kind: 'lazy',
    topics: ['webhook.>', 'a.*.b'],
    streams: ['jobs'],
    cron: { expression: '*/5 * * * *', timezone: 'Europe/Berlin' },
  })
  t.same(webhook?.config, { retries: 5, constructor: [null, true, 0, 'x'] })
  t.same(webhook?.after, ['other'])
  t.same(webhook?.lease, { ttlMs: 10_000 })
  t.same(webhook?.needs.paths, [join(folder, 'data'), '/var/lib/x'])
  t.same(other?.lease, { ttlMs: 30_000 })
  t.same(other?.activation, {
    kind: 'lazy',
    topics: [],
    streams: [],
    cron: { expression: '@hourly', timezone: 'UTC' },
  })
  t.notOk('lease' in none!)
  t.equal(none?.config, null)
  t.same(JSON.parse(JSON.stringify(herd)), herd, 'a herd is plain JSON')
})

t.test('the forms of bus and http.listen', async (t) => {
  const nodes = [{ host: 'r1', port: 6379 }]
  const buses: [unknown, unknown][] = [
    ['embedded', { kind: 'embedded' }],
    ['redis://h', { kind: 'redis', url: 'redis://h' }],
    [{ url: 'redis://h:1/0' }, { kind: 'redis', url: 'redis://h:1/0' }],
    [
      { sentinels: nodes, name: 'm' },
      { kind: 'sentinel', sentinels: nodes, name: 'm' },
    ],
    [{ cluster: nodes }, { kind: 'cluster', nodes }],
  ]
  for (const [bus, expected] of buses) t.same((await herdOf(one({}, { bus }))).bus, expected)
  for (const [listen, host, port] of [
    ['127.0.0.1:9464', '127.0.0.1', 9464],
    ['127.9.8.7:0', '127.9.8.7', 0],
    ['localhost:65535', 'localhost', 65_535],
  ] as const) {
    t.same((await herdOf(one({}, { http: { listen } }))).http, { host, port })
  }
})

t.test('all problems are reported together, each with its path', async (t) => {
  const problems = await problemsOf({
    name: 'sh op',
    bsu: 'embedded',
    defaults: { restart: 'alwys' },
    workers: {
      a: { modul: './workers/a.js', stopTimeout: 5, after: ['b', 'webhok'] },
      b: { module: './workers/b.js', requires: ['a'], activation: { topics: ['a..b'], cron: '61 * * * *' } },
      webhook: { module: './workers/a.js', memoryMax: '50 MiB', config: { f: () => {} } },
    },
  })
  t.same(problems.map((p) => p.path).toSorted(), [
    'bsu',
    'defaults.restart',
    'name',
    'workers.a',
    'workers.a.after',
    'workers.a.after[1]',
    'workers.a.modul',
    'workers.a.stopTimeout',
    'workers.b.activation.cron',
    'workers.b.activation.topics[0]',
    'workers.b.module',
    'workers.webhook.config.f',
    'workers.webhook.memoryMax',
  ])
})

t.test('a problem in defaults is reported once, with its path in defaults', async (t) => {
  const workers = Object.fromEntries(
    Array.from({ length: 50 }, (_, i) => [`w${i}`, { module: 'workers/a.js' }]),
  )
  const defaults = { backoff: { base: '10m', max: '1m' }, activation: { streams: ['jobs'], cron: '* * *' } }
  t.same((await problemsOf({ name: 'shop', defaults, workers })).map((p) => p.path).toSorted(), [
    'defaults.activation.cron',
    'defaults.activation.streams',
    'defaults.backoff.base',
  ])
})

t.test('a chain of 10,000 workers is resolved; 10,001 workers are refused', async (t) => {
  const chain = (count: number): Record<string, object> =>
    Object.fromEntries(
      Array.from({ length: count }, (_, i) => [
        `w${i}`,
        { module: 'workers/a.js', ...(i > 0 && { after: [`w${i - 1}`] }) },
      ]),
    )
  const cpuMs = cpuClock()
  t.equal((await herdOf({ name: 'shop', workers: chain(10_000) })).workers.length, 10_000)
  t.ok(cpuMs() < 30_000, `${Math.round(cpuMs())} ms`)
  const [problem] = await problemsOf({ name: 'shop', workers: chain(10_001) })
  t.match(problem, { path: 'workers', message: /at most 10000 workers, got 10001/ })
})

t.test('the problems of 10,000 invalid workers are bounded in number and time', async (t) => {
  const names = Array.from({ length: 10_000 }, (_, i) => `worker-number-${i}`)
  const workers = Object.fromEntries(
    names.map((name, i) => [
      name,
      { modul: 1, module: `./nope-${i}.js`, after: [`workr-number-${i}`], cron: 1 },
    ]),
  )
  const cpuMs = cpuClock()
  const problems = await problemsOf({ name: 'shop', workers })
  t.equal(problems.length, 1001)
  t.match(problems.at(-1)?.message, /^\d+ more problems are not shown$/)
  t.ok(cpuMs() < 30_000, `${Math.round(cpuMs())} ms`)
})
