// Invalid configs, one per row: title, config, path, message. The `shape` rows have a value of a wrong shape, which the
// JSON Schema must refuse too.
import { file, one } from './herd.ts'

export interface Refusal {
  readonly title: string
  readonly raw: unknown
  readonly path: string
  readonly message: RegExp
  readonly shape: boolean
}

const refusals: Refusal[] = []
const shape = (title: string, raw: unknown, path: string, message: RegExp): unknown =>
  refusals.push({ title, raw, path, message, shape: true })
const rule = (title: string, raw: unknown, path: string, message: RegExp): unknown =>
  refusals.push({ title, raw, path, message, shape: false })
const W = 'workers.w'
const script = (keys: object): unknown => ({
  name: 'shop',
  workers: { w: { script: './workers/a.js', ...keys } },
})
const pair = (a: object, b: object): unknown => ({
  name: 'shop',
  workers: { a: { module: './workers/a.js', ...a }, b: { module: './workers/b.mjs', ...b } },
})

// the root
for (const [raw, got] of [
  [null, 'null'],
  [[], 'an array'],
  ['x', 'a string'],
  [1, 'a number'],
] as const) {
  shape(`a root that is ${got}`, raw, '', new RegExp(`must be an object, got ${got}`))
}
shape('no name', { workers: { w: { module: './workers/a.js' } } }, 'name', /is missing/)
shape('no workers', { name: 'shop' }, 'workers', /is missing/)
shape('empty workers', { name: 'shop', workers: {} }, 'workers', /at least one worker, got none/)
shape('workers as an array', { name: 'shop', workers: [] }, 'workers', /must be an object, got an array/)
shape('a worker that is null', { name: 'shop', workers: { w: null } }, W, /must be an object, got null/)
shape(
  'an unknown key, near a known one',
  one({}, { onUnatributed: 'drain' }),
  'onUnatributed',
  /unknown key; did you mean 'onUnattributed'\?/,
)
shape('an unknown key, near none', one({}, { zzz: 1 }), 'zzz', /unknown key; known keys are .*workers/)
shape('a key of another case', one({ stoptimeout: '5s' }), `${W}.stoptimeout`, /did you mean 'stopTimeout'\?/)
shape(
  'jitter, which is fixed',
  one({ backoff: { jitter: 1 } }),
  `${W}.backoff.jitter`,
  /unknown key; known keys are first, base/,
)
shape('a worker key in defaults', one({}, { defaults: { module: 'x' } }), 'defaults.module', /unknown key/)

// names
for (const name of ['', 'a.b', 'a b', '-a', 'ä', 'a/b', '../a', 'x'.repeat(64), 'a\n']) {
  shape(
    `the herd name ${JSON.stringify(name.slice(0, 8))}`,
    one({}, { name }),
    'name',
    /must have 1 to 63 letters/,
  )
}
for (const name of ['system', 'SYSTEM'])
  shape(`the herd name ${name}`, one({}, { name }), 'name', /is reserved for byre's own topics/)
for (const name of ['toString', 'valueOf'])
  shape(`the herd name ${name}`, one({}, { name }), 'name', /reserved by JavaScript/)
shape('a herd name that is a number', one({}, { name: 5 }), 'name', /must be a name, got 5/)
shape(
  'a worker name with a dot',
  { name: 'shop', workers: { 'a.b': { module: './workers/a.js' } } },
  'workers["a.b"]',
  /the name must have 1 to 63/,
)
shape(
  'a worker named system',
  { name: 'shop', workers: { system: { module: './workers/a.js' } } },
  'workers.system',
  /reserved for byre/,
)
shape(
  'a worker named constructor',
  { name: 'shop', workers: { constructor: { module: './workers/a.js' } } },
  'workers.constructor',
  /reserved by JavaScript/,
)
shape(
  'a worker named prototype',
  { name: 'shop', workers: { prototype: {} } },
  'workers.prototype',
  /reserved by JavaScript/,
)
shape(
  'a worker named __proto__',
  JSON.parse('{"name":"shop","workers":{"__proto__":{}}}'),
  'workers.__proto__',
  /reserved by JavaScript/,
)
shape(
  'the key __proto__ deep in a config',
  JSON.parse('{"name":"shop","workers":{"w":{"module":"./workers/a.js","config":{"a":{"__proto__":1}}}}}'),
  `${W}.config.a.__proto__`,
  /reserved/,
)
shape('the key constructor at the root', one({}, { constructor: 1 }), 'constructor', /reserved by JavaScript/)
shape('the group _all', one({ group: '_all' }), `${W}.group`, /'_all' is reserved for the socket/)
shape(
  'the group _all, declared',
  one({}, { groups: { _all: {} } }),
  'groups._all',
  /'_all' is reserved for the socket/,
)
shape(
  'a group whose socket would be that of byre run',
  one({ group: 'run-w' }),
  `${W}.group`,
  /must not begin with 'run-'/,
)
shape(
  'the group system in defaults',
  one({}, { defaults: { group: 'system' } }),
  'defaults.group',
  /reserved/,
)

// durations, sizes, numbers, closed lists
for (const stopTimeout of ['5', '5 s', '-5s', '5S', '', '1e3s', '5s ', 5, null, true, ['5s'], { s: 5 }]) {
  shape(
    `the duration ${JSON.stringify(stopTimeout)}`,
    one({ stopTimeout }),
    `${W}.stopTimeout`,
    /must be a duration such as .*, got /,
  )
}
rule(
  'a duration below its range',
  one({ stopTimeout: '9ms' }),
  `${W}.stopTimeout`,
  /between 10ms and 1h, got '9ms'/,
)
rule(
  'a duration above its range',
  one({ startTimeout: '61m' }),
  `${W}.startTimeout`,
  /between 10ms and 1h, got '61m'/,
)
rule(
  'a backoff without delay',
  one({ backoff: { base: '0s' } }),
  `${W}.backoff.base`,
  /between 1ms and 1d, got '0s'/,
)
rule(
  'a period of 0 s',
  one({ activation: { every: '0s' } }),
  `${W}.activation.every`,
  /between 10ms and 365d/,
)
rule(
  'a period of 366 days',
  one({ activation: { every: '366d' } }),
  `${W}.activation.every`,
  /must be a duration/,
)
for (const memoryMax of ['50 MiB', '50mb', 'MiB', '-1', 50, '']) {
  shape(
    `the size ${JSON.stringify(memoryMax)}`,
    one({ memoryMax }),
    `${W}.memoryMax`,
    /must be a size such as/,
  )
}
rule('a size below its range', one({ memoryMax: '50' }), `${W}.memoryMax`, /between 1MiB and 16TiB, got '50'/)
for (const [key, value, range] of [
  ['weight', 0, '0.01 and 1000'],
  ['weight', 1001, '0.01 and 1000'],
  ['weight', '1', '0.01 and 1000'],
] as const) {
  shape(
    `${key} ${JSON.stringify(value)}`,
    one({ [key]: value }),
    `${W}.${key}`,
    new RegExp(`a number between ${range}`),
  )
}
shape(
  'a factor below 1',
  one({ backoff: { factor: 0.5 } }),
  `${W}.backoff.factor`,
  /between 1 and 100, got 0.5/,
)
for (const failures of [0, 1.5, 1001, '5']) {
  shape(
    `${JSON.stringify(failures)} failures`,
    one({ limit: { failures } }),
    `${W}.limit.failures`,
    /whole number between 1 and 1000/,
  )
}
for (const buffer of [0, 1_000_001])
  shape(`a buffer of ${buffer}`, one({}, { limits: { buffer } }), 'limits.buffer', /between 1 and 1000000/)
for (const max of [0, 10_001, 1.5])
  shape(`an admission of ${max}`, one({}, { admission: { max } }), 'admission.max', /between 1 and 10000/)
rule(
  'a message limit of 1 GiB',
  one({}, { limits: { message: '1GiB' } }),
  'limits.message',
  /between 1KiB and 64MiB/,
)
rule(
  'a sampler interval below its range',
  one({}, { sampler: { interval: '1ms' } }),
  'sampler.interval',
  /between 100ms and 1d/,
)
shape(
  'a sampler.enabled that is a string',
  one({}, { sampler: { enabled: 'yes' } }),
  'sampler.enabled',
  /must be true or false, got 'yes'/,
)
for (const [key, value, hint] of [
  [
    'restart',
    'onfailure',
    /'always' or 'on-failure' or 'never', got 'onfailure'; did you mean 'on-failure'\?/,
  ],
  ['placement', 'threads', /did you mean 'thread'\?/],
  ['onLimit', 'ignore', /'quarantine' or 'eject' or 'exit'/],
  ['onStall', 'exit', /'report' or 'eject'/],
  ['ready', true, /'start' or 'call', got true/],
  ['critical', 1, /true or false, got 1/],
] as const) {
  shape(`${key} ${JSON.stringify(value)}`, one({ [key]: value }), `${W}.${key}`, hint)
}
shape(
  'onUnattributed with a typo',
  one({}, { onUnattributed: 'drian' }),
  'onUnattributed',
  /did you mean 'drain'\?/,
)

// source, files
shape(
  'no module and no script',
  { name: 'shop', workers: { w: {} } },
  W,
  /exactly one of 'module' and 'script', got neither/,
)
shape(
  'a module and a script',
  one({ script: './workers/a.js' }),
  W,
  /exactly one of 'module' and 'script', got both/,
)
rule(
  'a missing module',
  one({ module: './workers/c.js' }),
  `${W}.module`,
  /no such file: '\/.*\/workers\/c\.js'/,
)
rule(
  'a module with the wrong extension',
  one({ module: './workers/b.js' }),
  `${W}.module`,
  /did you mean '\.\/workers\/b\.mjs'\?/,
)
rule('a module in a missing folder', one({ module: './wrkers/a.js' }), `${W}.module`, /no such file/)
rule('a module below a file', one({ module: './workers/a.js/x' }), `${W}.module`, /no such file/)
rule('a module that is a folder', one({ module: './workers' }), `${W}.module`, /is a folder, not a file/)
rule('a module that is a device', one({ module: '/dev/null' }), `${W}.module`, /is not a regular file/)
rule(
  'a module that is a URL',
  one({ module: `file://${file}` }),
  `${W}.module`,
  /must be a path .*, got a URL/,
)
rule(
  'a module with a name too long for the kernel',
  one({ module: 'x'.repeat(4000) }),
  `${W}.module`,
  /no such file/,
)
shape('an empty module', one({ module: '' }), `${W}.module`, /got an empty string/)
shape('a module with a NUL', one({ module: 'a\u0000b' }), `${W}.module`, /control characters/)
shape(
  'a module that is not a string',
  one({ module: ['./workers/a.js'] }),
  `${W}.module`,
  /must be the path of a module, got an array/,
)
rule(
  'a missing script',
  { name: 'shop', workers: { w: { script: './nope.js', placement: 'process' } } },
  `${W}.script`,
  /no such file/,
)

// placement
rule(
  'a script in shared',
  script({ placement: 'shared' }),
  `${W}.placement`,
  /cannot have placement 'shared'.*Set placement: 'thread' or 'process'/,
)
rule('a script without placement', script({}), `${W}.script`, /cannot have placement 'shared'/)
rule(
  'a script with a config',
  script({ placement: 'process', config: {} }),
  `${W}.config`,
  /a script has no ctx\.config/,
)
rule(
  "a script with ready: 'call'",
  script({ placement: 'process', ready: 'call' }),
  `${W}.ready`,
  /a script cannot call ctx\.ready/,
)
rule(
  'args for a module',
  one({ args: ['x'], placement: 'process' }),
  `${W}.args`,
  /only a 'script' accepts arguments/,
)
rule(
  'args in a thread',
  script({ args: ['x'], placement: 'thread' }),
  `${W}.args`,
  /requires placement 'process', got 'thread'/,
)
shape(
  'args that are a string',
  script({ args: '-x', placement: 'process' }),
  `${W}.args`,
  /must be an array, got '-x'/,
)
shape(
  'an argument that is a number',
  script({ args: [8080], placement: 'process' }),
  `${W}.args[0]`,
  /must be a string, got 8080/,
)
rule('cwd in shared', one({ cwd: 'data' }), `${W}.cwd`, /requires placement 'process', got 'shared'/)
rule(
  'cwd in a thread',
  one({ cwd: 'data', placement: 'thread' }),
  `${W}.cwd`,
  /requires placement 'process', got 'thread'/,
)
rule('a missing cwd', one({ cwd: 'nope', placement: 'process' }), `${W}.cwd`, /no such folder/)
rule(
  'a cwd that is a file',
  one({ cwd: 'workers/a.js', placement: 'process' }),
  `${W}.cwd`,
  /is not a folder/,
)
for (const key of ['lean', 'inside']) {
  shape(
    `${key} as a string`,
    script({ [key]: 'yes', placement: 'process' }),
    `${W}.${key}`,
    /must be true or false/,
  )
  rule(
    `${key} in a thread`,
    script({ [key]: true, placement: 'thread' }),
    `${W}.${key}`,
    /requires placement 'process', got 'thread'/,
  )
}
rule('lean in shared', one({ lean: true }), `${W}.lean`, /requires placement 'process', got 'shared'/)
rule(
  'inside of a module',
  one({ inside: true, placement: 'process' }),
  `${W}.inside`,
  /applies to a 'script' only/,
)
for (const placement of ['shared', 'thread'])
  rule(
    `a time zone in placement ${placement}`,
    one({ env: { TZ: 'Asia/Tokyo' }, placement }),
    `${W}.env.TZ`,
    /has no effect with placement '\w+': a process has one time zone. Set placement: 'process'/,
  )
rule(
  'a time zone for all workers, one of them in shared',
  one({}, { defaults: { env: { TZ: 'Asia/Tokyo' } } }),
  'defaults.env.TZ',
  /has no effect with placement 'shared'/,
)
rule(
  'sleepAfter in shared',
  one({ sleepAfter: '5m' }),
  `${W}.sleepAfter`,
  /has no effect with placement 'shared'/,
)

// activation
shape(
  'an activation that is a list',
  one({ activation: ['a'] }),
  `${W}.activation`,
  /must be an object, got an array/,
)
shape(
  'an activation of another word',
  one({ activation: 'lazy' }),
  `${W}.activation`,
  /must be 'eager', got 'lazy'/,
)
rule(
  'an activation without a cause to wake',
  one({ activation: {} }),
  `${W}.activation`,
  /must have at least one of topics, streams, every and cron/,
)
rule(
  'an activation with empty topics',
  one({ activation: { topics: [] } }),
  `${W}.activation`,
  /must have at least one of topics, streams, every and cron/,
)
for (const [topic, reason] of [
  ['a..b', /an empty token/],
  ['a.>.b', /'>' must be the last token/],
  ['a*', /whole tokens/],
  ['a b', /white space/],
  ['', /it is empty/],
  ['_inbox', /reply topics are reserved for request\(\)/],
  ['_inbox.>', /got '_inbox\.>': reply topics are reserved for request\(\)\. Use the topic of the requests/],
  ['_inbox.*.a', /reply topics are reserved for request\(\)/],
] as const) {
  shape(
    `the topic ${JSON.stringify(topic)}`,
    one({ activation: { topics: ['ok', topic] } }),
    `${W}.activation.topics[1]`,
    reason,
  )
}
shape(
  'a topic that is a number',
  one({ activation: { topics: [5] } }),
  `${W}.activation.topics[0]`,
  /must be a topic pattern such as 'webhook.>', got 5/,
)
shape(
  'a stream with a wildcard',
  one({ activation: { streams: ['a.*'] } }, { bus: 'redis://h' }),
  `${W}.activation.streams[0]`,
  /allowed in patterns only/,
)
rule(
  'a stream on the embedded bus',
  one({ activation: { streams: ['jobs'] } }),
  `${W}.activation.streams`,
  /requires a Redis bus/,
)
rule(
  'a time zone without cron',
  one({ activation: { every: '1m', timezone: 'UTC' } }),
  `${W}.activation.timezone`,
  /is allowed only with 'cron'/,
)
for (const cron of [
  '* * *',
  '* * * * * * *',
  '61 * * * *',
  'a b c d e',
  '*/0 * * * *',
  '@never',
  '2031-01-01T00:00:00',
  'x'.repeat(300),
]) {
  rule(
    `the cron ${cron.slice(0, 20)}`,
    one({ activation: { cron } }),
    `${W}.activation.cron`,
    /must have 5 fields .*, got '/,
  )
}
rule(
  'a cron that never matches',
  one({ activation: { cron: '0 0 31 2 *' } }),
  `${W}.activation.cron`,
  /never does/,
)
rule(
  'an unknown time zone',
  one({ activation: { cron: '* * * * *', timezone: 'Mars/X' } }),
  `${W}.activation.timezone`,
  /IANA time zone .* got 'Mars\/X'/,
)

// delays
rule(
  'a base above max',
  one({ backoff: { base: '2m' } }),
  `${W}.backoff.base`,
  /not be longer than backoff\.max '60s', got '2m'/,
)
rule(
  'a max below the default base',
  one({ backoff: { max: '500ms' } }),
  `${W}.backoff.max`,
  /backoff\.base must not be longer .* '500ms', got '1s'/,
)
rule(
  'a first above max',
  one({ backoff: { first: '2m' } }),
  `${W}.backoff.first`,
  /backoff\.first must not be longer/,
)

// references
rule('after an unknown worker', pair({ after: ['c'] }, {}), 'workers.a.after[0]', /no worker is named 'c'$/)
rule(
  'requires a misspelt worker',
  {
    name: 'shop',
    workers: {
      w: { module: './workers/a.js', requires: ['reconsile'] },
      reconcile: { module: './workers/a.js' },
    },
  },
  `${W}.requires[0]`,
  /did you mean 'reconcile'\?/,
)
rule('after itself', one({ after: ['w'] }), `${W}.after`, /cannot depend on itself/)
rule(
  'a cycle of two, over both keys',
  pair({ requires: ['b'] }, { after: ['a'] }),
  'workers.a.requires',
  /form a cycle: a -> b -> a/,
)
shape('after as a string', pair({ after: 'b' }, {}), 'workers.a.after', /must be an array, got 'b'/)

// lease, env, needs
rule('a lease on the embedded bus', one({ lease: true }), `${W}.lease`, /requires a Redis bus/)
shape(
  'a lease that is a string',
  one({ lease: '30s' }, { bus: 'redis://h' }),
  `${W}.lease`,
  /must be true, false or \{ ttl: '30s' \}, got '30s'/,
)
rule(
  'a lease ttl below its range',
  one({ lease: { ttl: '1ms' } }, { bus: 'redis://h' }),
  `${W}.lease.ttl`,
  /between 500ms and 1h/,
)
shape(
  'an env value that is a number',
  one({ env: { PORT: 80 } }),
  `${W}.env.PORT`,
  /must be a string, got a number/,
)
shape('an env name with =', one({ env: { 'A=B': 'x' } }), `${W}.env["A=B"]`, /no '='/)
shape(
  'an env name that is empty',
  one({}, { defaults: { env: { '': 'x' } } }),
  'defaults.env[""]',
  /1 to 1024 characters/,
)
shape('an unknown network', one({ needs: { network: 'lan' } }), `${W}.needs.network`, /must be 'none' or/)
shape(
  'a capability without CAP_',
  one({ needs: { capabilities: ['net_admin'] } }),
  `${W}.needs.capabilities[0]`,
  /such as 'CAP_NET_BIND_SERVICE'/,
)
shape(
  'a capability that Linux does not have, with a similar one that it has',
  one({ needs: { capabilities: ['CAP_KILL', 'CAP_NET_BIND_SERVICES'] } }),
  `${W}.needs.capabilities[1]`,
  /got 'CAP_NET_BIND_SERVICES'; did you mean 'CAP_NET_BIND_SERVICE'\?/,
)
shape(
  'a system group with a space',
  one({ needs: { groups: ['a b'] } }),
  `${W}.needs.groups[0]`,
  /must be a system group/,
)

// herd
for (const listen of [
  '0.0.0.0:9464',
  '[::]:9464',
  '192.168.1.5:80',
  '127.0.0.256:80',
  '127.1:80',
  'example.com:80',
  '[::ffff:127.0.0.1]:80',
]) {
  shape(`listening on ${listen}`, one({}, { http: { listen } }), 'http.listen', /must be a loopback address/)
}
for (const listen of [
  '9464',
  ':9464',
  '127.0.0.1',
  '127.0.0.1:',
  '127.0.0.1:x',
  '::1:9464',
  'http://127.0.0.1:1',
]) {
  shape(`listening on ${listen}`, one({}, { http: { listen } }), 'http.listen', /must be 'host:port'/)
}
rule(
  'a port too high',
  one({}, { http: { listen: '127.0.0.1:65536' } }),
  'http.listen',
  /the port must be from 0 to 65535, got 65536/,
)
shape('http without listen', one({}, { http: {} }), 'http.listen', /is missing/)
shape('an unknown bus', one({}, { bus: 'kafka' }), 'bus', /must be 'embedded', or a redis:/)
shape('another protocol', one({}, { bus: 'http://h' }), 'bus', /must begin with redis:\/\/ or rediss:\/\//)
rule('an invalid bus URL', one({}, { bus: 'redis://h:port' }), 'bus', /must be a URL such as/)
rule('a bus URL without host', one({}, { bus: 'redis:///0' }), 'bus', /must contain a host/)
rule('a bus URL with a path', one({}, { bus: 'redis://h/db' }), 'bus', /must be a database number/)
shape('a bus that is a number', one({}, { bus: 6379 }), 'bus', /must be 'embedded', .* got a number/)
shape('a bus that is null', one({}, { bus: null }), 'bus', /got null/)
shape(
  'a bus with two kinds',
  one({}, { bus: { url: 'redis://h', cluster: [] } }),
  'bus',
  /exactly one of the keys 'url', 'sentinels' and 'cluster'/,
)
shape('a bus with no kind', one({}, { bus: {} }), 'bus', /exactly one of the keys/)
shape(
  'the embedded bus as url',
  one({}, { bus: { url: 'embedded' } }),
  'bus.url',
  /must be a URL|must begin with/,
)
shape(
  'sentinels without name',
  one({}, { bus: { sentinels: [{ host: 'h', port: 1 }] } }),
  'bus.name',
  /is missing/,
)
shape('no cluster node', one({}, { bus: { cluster: [] } }), 'bus.cluster', /at least one node/)
shape(
  'a node without port',
  one({}, { bus: { cluster: [{ host: 'h' }] } }),
  'bus.cluster[0].port',
  /is missing/,
)
shape(
  'a short secret',
  one({}, { control: { secret: 'short' } }),
  'control.secret',
  /at least 16 characters, got 5/,
)
shape(
  'a secret that is a number',
  one({}, { control: { secret: 5 } }),
  'control.secret',
  /must be a string, got a number/,
)
shape(
  'overRedis of another word',
  one({}, { control: { overRedis: 'signed' } }),
  'control.overRedis',
  /must be 'unsigned'/,
)
shape(
  'a secret and unsigned',
  one({}, { control: { secret: 'sixteen or more characters', overRedis: 'unsigned' } }),
  'control.overRedis',
  /conflicts with control\.secret/,
)
rule(
  'a memoryHigh above memoryMax',
  one({}, { groups: { g: { memoryHigh: '2GiB', memoryMax: '1GiB' } } }),
  'groups.g.memoryHigh',
  /must not be larger than memoryMax '1GiB', got '2GiB'/,
)
for (const [groups, group, message] of [
  [{ bacth: {} }, 'batch', /^no worker is in group 'bacth'; did you mean 'batch'\?$/],
  [{ defualt: {} }, undefined, /^no worker is in group 'defualt'; did you mean 'default'\?$/],
  [
    { zzz: {}, batch: {} },
    'batch',
    /^no worker is in group 'zzz'\. Set 'group' on a worker, or remove the entry$/,
  ],
] as const)
  rule(
    `limits of the group ${Object.keys(groups)[0]}, which has no worker`,
    one(group === undefined ? {} : { group }, { groups }),
    `groups.${Object.keys(groups)[0]}`,
    message,
  )
rule(
  'limits of a group that only defaults names',
  one({ group: 'own' }, { defaults: { group: 'shared' }, groups: { own: {}, shared: {} } }),
  'groups.shared',
  /^no worker is in group 'shared'/,
)
shape(
  'an unknown key of a group',
  one({}, { groups: { g: { memory: '1GiB' } } }),
  'groups.g.memory',
  /unknown key/,
)

export { refusals }
