// Valid configs, one for each form that a key can have.
import { one } from './herd.ts'

const redis = { bus: 'redis://127.0.0.1:6379' }

export const accepted: readonly unknown[] = [
  one(),
  one({}, { $schema: './node_modules/byre/schema/byre.config.schema.json' }),
  one({ activation: 'eager' }),
  one({
    activation: {
      topics: ['a', 'a.*', '>', '_inboxes.>', 'system.>', '*.b', 'a-b_c.日本.*.>'],
      every: '1.5m',
    },
  }),
  one({ activation: { cron: '*/5 0-12 * * MON-FRI', timezone: 'America/New_York' } }),
  one({ activation: { cron: '@daily' } }),
  one({ activation: { cron: '*/10 * * * * *' } }),
  one({ activation: { streams: ['jobs.new'] } }, redis),
  one({ lease: true }, redis),
  one({ lease: {} }, redis),
  one({ lease: { ttl: '500ms' } }, redis),
  one({ lease: false }),
  one({ placement: 'process', cwd: 'data', sleepAfter: '1d', memoryMax: '1.5GiB' }),
  one({ placement: 'thread', sleepAfter: '100ms' }),
  one({ placement: 'process', env: { TZ: 'Asia/Tokyo' } }),
  one({ placement: 'process', lean: true }, { defaults: { lean: false, inside: true } }),
  { name: 's', workers: { w: { script: 'workers/a.js', placement: 'process', inside: true, lean: false } } },
  { name: 'S-1_x', workers: { 0: { script: 'workers/a.js', args: ['', '--x=1'], placement: 'process' } } },
  one({ restart: 'always', onLimit: 'eject', onStall: 'eject', ready: 'call', critical: true, weight: 0.01 }),
  one({ backoff: {}, limit: {}, stall: {}, needs: {}, env: {} }),
  one({ backoff: { first: '1s', base: '1ms', factor: 1, max: '1d', resetAfter: '365d' } }),
  one({ stall: { detect: false, after: '20ms' }, limit: { failures: 1, within: '1ms' } }),
  one({ env: { PATH: '', 'odd name': 'ü\n' } }, { defaults: { env: { A: 'b' }, group: 'g-1' } }),
  one({ config: null }),
  one({ config: [1, 'x', { constructor: { prototype: [] } }] }),
  one({ needs: { network: 'none', paths: ['/srv', '.'], groups: ['_x'], capabilities: ['CAP_SYS_NICE'] } }),
  one({}, { bus: 'embedded', http: { listen: 'localhost:0' } }),
  one({}, { bus: { url: 'rediss://u:p@h/1' } }),
  one({}, { bus: { cluster: [{ host: '::1', port: 1 }] } }),
  one({}, { bus: { sentinels: [{ host: 'h', port: 65_535 }], name: 'main' } }),
  one({}, { control: { secret: '0123456789abcdef' } }),
  one(
    {},
    { control: { overRedis: 'unsigned' }, admission: {}, sampler: {}, limits: {}, groups: {}, defaults: {} },
  ),
  one({}, { limits: { message: '64MiB', buffer: 1_000_000 }, onUnattributed: 'report' }),
  one({ group: 'g' }, { groups: { g: { memoryHigh: '1GB' } } }),
  one({}, { groups: { default: { memoryHigh: '1MiB', memoryMax: '1MiB' } } }),
  one({}, { defaults: { group: 'h' }, groups: { h: {} } }),
]
