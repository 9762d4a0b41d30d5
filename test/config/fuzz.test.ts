// Arbitrary and almost valid configs: the loader returns either a herd or problems with paths.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { isRecord } from '../../src/base/check.ts'
import { ByreError } from '../../src/base/errors.ts'
import { loadHerd } from '../../src/config/load.ts'
import { resolveHerd } from '../../src/config/resolve.ts'
import { accepted } from './accepted.ts'
import { file, makeFolder, one } from './herd.ts'
import { validates } from './json-schema.ts'
import { refusals } from './refused.ts'

const schema = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../../schema/byre.config.schema.json'), 'utf8'),
) as Record<string, unknown>

/** BYRE_FUZZ=100 makes a hundred times the runs of the suite. */
const RUNS = Number(process.env['BYRE_FUZZ'] ?? 1)

/** Checks a result. Throws when it violates a law of all results. */
async function judge(raw: unknown): Promise<'ok' | 'refused'> {
  const startedAt = performance.now()
  const result = await resolveHerd(raw, { file })
  const tookMs = performance.now() - startedAt
  if (tookMs > 20_000) throw new Error(`took ${tookMs} ms`)
  if (result.ok) {
    const text = JSON.stringify(result.herd)
    if (JSON.stringify(JSON.parse(text)) !== text) throw new Error('the herd is not JSON')
    if (!validates(JSON.parse(JSON.stringify(raw)), schema))
      throw new Error('accepted, but the JSON Schema refuses it')
    return 'ok'
  }
  if (result.problems.length === 0) throw new Error('refused without a problem')
  for (const { path, message } of result.problems) {
    const rootOnly = /^must be an object|^must be JSON|^cannot be read|has more than|more problems/.test(
      message,
    )
    if (path === '' && !rootOnly) throw new Error(`no path: ${message}`)
    if (
      message === '' ||
      /undefined|\[object|NaN/.test(
        message.replace(/'[^]*'/, '').replace(/^must be JSON, got (?:undefined|NaN)$/, ''),
      )
    )
      throw new Error(`unclear: ${message}`)
    if (/[\p{Cc}\u2028]/u.test(path + message)) throw new Error(`not one line: ${JSON.stringify(message)}`)
  }
  return 'refused'
}

const exotic = fc.anything({
  maxDepth: 4,
  withBigInt: true,
  withBoxedValues: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withNullPrototype: true,
  withObjectString: true,
  withSparseArray: true,
  withTypedArray: true,
  withUnicodeString: true,
})

const tricky = fc.constantFrom<unknown>(
  '',
  ' ',
  'eager',
  'embedded',
  'shared',
  'thread',
  'process',
  '5s',
  '0s',
  '999999999999d',
  '1e9s',
  '5m ',
  '-1s',
  '1MiB',
  '999999999999999TiB',
  '*',
  '>',
  'a.>',
  'a..b',
  '* * * * *',
  '* * * * * *',
  '@daily',
  '0 0 31 2 *',
  'UTC',
  'Mars/X',
  './workers/a.js',
  './nope.js',
  '/',
  '..',
  '\0',
  '127.0.0.1:0',
  '[::1]:1',
  ':::',
  'redis://',
  'redis://h',
  'redis://[',
  'redis://u:p@h:99999',
  'w',
  'x',
  '__proto__',
  'constructor',
  'then',
  0,
  -0,
  1,
  1.5,
  -1,
  1e21,
  2 ** 53,
  Number.NaN,
  Infinity,
  true,
  false,
  null,
  undefined,
  [],
  {},
  [[]],
  [null],
  [{}],
  { ttl: '1s' },
  { url: 1 },
  { topics: ['a'] },
  { cron: '* * * * *' },
  { length: 5 },
  { '': 1 },
  JSON.parse('{"__proto__":{"a":1}}') as unknown,
  () => {},
  Symbol('s'),
  5n,
  new Date(0),
  '\ud800',
  'ü'.repeat(70),
  'a'.repeat(5000),
)
const junk = fc.oneof({ weight: 4, arbitrary: tricky }, { weight: 1, arbitrary: exotic })

const full: unknown = {
  ...(one({
    activation: { topics: ['a.>'], every: '1m', cron: '*/5 * * * *', timezone: 'UTC' },
    backoff: { first: '0s', base: '1s', factor: 2, max: '1m', resetAfter: '1h' },
    limit: { failures: 3, within: '1m' },
    stall: { detect: true, after: '1s', profile: false },
    lease: { ttl: '30s' },
    env: { A: 'b' },
    needs: { network: 'none', paths: ['/x'], groups: ['adm'], capabilities: ['CAP_KILL'] },
    config: { a: [1, { b: null }] },
    after: ['v'],
    stopTimeout: '1s',
    memoryMax: '1GiB',
  }) as object),
  bus: { cluster: [{ host: 'h', port: 1 }] },
  http: { listen: '127.0.0.1:1' },
  defaults: { restart: 'always', sleepAfter: '1m', backoff: { max: '2m' } },
  groups: { default: { memoryHigh: '1GiB', memoryMax: '2GiB' } },
  control: { secret: '0123456789abcdef' },
  admission: { max: 2 },
  sampler: { enabled: true, interval: '1s' },
  limits: { message: '1MiB', buffer: 5 },
  onUnattributed: 'drain',
}
;(full as { workers: Record<string, unknown> }).workers['v'] = {
  script: 'workers/a.js',
  placement: 'process',
  args: ['x'],
  cwd: 'data',
  lean: true,
  inside: true,
  requires: [],
}
const seeds = [
  full,
  full,
  full,
  ...accepted,
  ...accepted,
  ...accepted,
  ...accepted,
  ...refusals.map((r) => r.raw),
].filter(isRecord)

/** A valid config in which values are replaced or removed, or keys are added. */
const nearValid = fc
  .tuple(
    fc.constantFrom(...seeds),
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.constantFrom('set', 'set', 'drop', 'add', 'move'),
        junk,
        fc.string({ maxLength: 12 }),
      ),
      { minLength: 1, maxLength: 3 },
    ),
  )
  .map(([seed, edits]) => {
    const copy = structuredClone(seed)
    for (const [pick, how, value, key] of edits) edit(copy, pick, how, value, key)
    return copy
  })

function edit(root: Record<string, unknown>, pick: number, how: string, value: unknown, key: string): void {
  const places = placesOf(root)
  const { parent, key: at } = places[pick % places.length]!
  if (how === 'set') parent[at] = value
  else if (how === 'drop') delete parent[at]
  else if (how === 'move')
    parent[at] = places[(pick * 7 + 3) % places.length]!.parent // This may create a cycle.
  else if (isRecord(parent[at])) parent[at][key] = value
}

function placesOf(root: Record<string, unknown>): { parent: Record<string, unknown>; key: string }[] {
  const found: { parent: Record<string, unknown>; key: string }[] = []
  const seen = new Set<unknown>()
  const walk = (node: unknown): void => {
    if (!(isRecord(node) || Array.isArray(node)) || seen.has(node)) return
    seen.add(node)
    for (const key of Object.keys(node)) {
      found.push({ parent: node as Record<string, unknown>, key })
      walk((node as Record<string, unknown>)[key])
    }
  }
  walk(root)
  return found.length > 0 ? found : [{ parent: root, key: 'name' }]
}

t.test('property: any export of a config gives a herd or problems', async () => {
  await fc.assert(
    fc.asyncProperty(exotic, async (raw) => (await judge(raw)) === 'refused'),
    { numRuns: 1500 * RUNS },
  )
})

t.test(
  'property: almost valid configs neither throw nor hang, every problem has a path, and the JSON Schema is not stricter',
  async (t) => {
    const seen = { ok: 0, refused: 0 }
    await fc.assert(
      fc.asyncProperty(nearValid, async (raw) => {
        seen[await judge(raw)]++
      }),
      { numRuns: 4000 * RUNS },
    )
    t.ok(seen.ok > 50 && seen.refused > 1000, `both results occur: ${JSON.stringify(seen)}`)
  },
)

t.test('property: a damaged JSON file gives a herd, or BYRE_CONFIG_INVALID with the file name', async () => {
  const folder = makeFolder()
  const damaged = fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.nat(),
      fc.constantFrom(
        '',
        '"',
        ',',
        '}',
        '{',
        ']',
        '[',
        '\\',
        '0',
        '\ufeff',
        '\0',
        '\n',
        '//',
        'null',
        '"name":1,',
      ),
      fc.nat({ max: 3 }),
    )
    .map(([seed, at, text, cut]) => {
      const json = JSON.stringify(seed, null, 1)
      const i = at % json.length
      return `${json.slice(0, i)}${text}${json.slice(i + cut)}`
    })
  let n = 0
  await fc.assert(
    fc.asyncProperty(damaged, async (text) => {
      const name = `c${n++ % 10}.json`
      writeFileSync(join(folder, name), text)
      try {
        await loadHerd({ cwd: folder, file: name })
      } catch (error) {
        return (
          error instanceof ByreError && error.code === 'BYRE_CONFIG_INVALID' && error.message.includes(name)
        )
      }
      return true
    }),
    { numRuns: 500 * RUNS },
  )
})

t.test('property: any cron expression is checked in bounded time', async () => {
  const field = fc.oneof(
    fc.constantFrom(
      '*',
      '?',
      'L',
      'W',
      '15W',
      'LW',
      '5#3',
      'MON',
      'JAN-DEC',
      '*/7',
      '1-5',
      '31',
      '29',
      '2',
      '0',
      '7',
      '5L',
      '1,2,3',
      '0-59/15',
    ),
    fc.string({ unit: fc.constantFrom(...'0123456789*/,-LW#?+'.split('')), minLength: 1, maxLength: 6 }),
  )
  const cron = fc.array(field, { minLength: 4, maxLength: 7 }).map((fields) => fields.join(' '))
  await fc.assert(
    fc.asyncProperty(cron, async (expression) => {
      await judge(one({ activation: { cron: expression, timezone: 'UTC' } }))
    }),
    { numRuns: 500 * RUNS },
  )
})

t.test('inputs of earlier failures pass', async (t) => {
  for (const raw of failures()) t.type(await judge(raw), 'string')
})

/** Inputs for which a property above once failed. */
function failures(): unknown[] {
  // Control characters that JSON.stringify does not escape reached the terminal in a key.
  return [[{ '\u007f': new Date(0) }], one({}, { groups: { '\u0085': 1, '\u2028': 1 } })]
}
