// The shipped JSON Schema, the loader and docs/config.md agree.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isRecord } from '../../src/base/check.ts'
import * as d from '../../src/config/defaults.ts'
import { one, problemsOf } from './herd.ts'
import { validates } from './json-schema.ts'
import { refusals } from './refused.ts'
import { accepted } from './accepted.ts'

const root = join(import.meta.dirname, '../../..')
const schema = JSON.parse(readFileSync(join(root, 'schema/byre.config.schema.json'), 'utf8')) as Record<
  string,
  unknown
>
const docs = readFileSync(join(root, 'docs/config.md'), 'utf8')

t.test('the JSON Schema refuses every value of a wrong shape', async (t) => {
  const loose = refusals.filter((r) => r.shape && validates(r.raw, schema)).map((r) => r.title)
  t.same(loose, [])
})

t.test('the JSON Schema accepts the configs that only the loader can refuse', async (t) => {
  const strict = refusals.filter((r) => !r.shape && !validates(r.raw, schema)).map((r) => r.title)
  t.same(strict, [], 'these rows belong to the shape rows')
})

t.test('the JSON Schema accepts every config that the loader accepts', async (t) => {
  for (const raw of accepted) {
    t.same(await problemsOf(raw), [])
    t.ok(validates(raw, schema), JSON.stringify(raw))
  }
})

t.test('the validator of this test refuses invalid values and unsupported keywords', async (t) => {
  t.notOk(validates({ name: 'shop', workers: {} }, schema))
  t.throws(() => validates(1, { multipleOf: 2 }), /not supported/)
})

interface Key {
  /** In the notation of docs/config.md: `workers.*.backoff.base`. */
  readonly path: string
  readonly default?: unknown
}

/** All keys of the schema. `defaults.*` repeats keys of workers; the docs list only `defaults`. */
function keysOf(node: Record<string, unknown>, path: string, into: Map<string, Key>): Map<string, Key> {
  const parts = ['allOf', 'oneOf', 'anyOf'].flatMap((k) => (node[k] ?? []) as Record<string, unknown>[])
  for (const part of parts) keysOf(part, path, into)
  const name = /^#\/definitions\/(\w+)$/.exec(String(node['$ref']))?.[1]
  if (name !== undefined && name !== 'json') {
    keysOf((schema['definitions'] as Record<string, Record<string, unknown>>)[name]!, path, into)
  }
  for (const [key, value] of Object.entries(
    (node['properties'] ?? {}) as Record<string, Record<string, unknown>>,
  )) {
    const below = path === '' ? key : `${path}.${key}`
    const known = 'default' in value ? { path: below, default: value['default'] } : { path: below }
    into.set(below, known)
    if (below !== 'defaults') keysOf(value, below, into)
  }
  if (isRecord(node['additionalProperties'])) keysOf(node['additionalProperties'], `${path}.*`, into)
  if (isRecord(node['items'])) keysOf(node['items'], `${path}[]`, into)
  return into
}

const keys = keysOf(schema, '', new Map())

t.test('docs/config.md lists exactly the keys of the schema', async (t) => {
  const documented = [...docs.matchAll(/^\| `([^`]+)` \|/gm)].map((m) => m[1]!)
  t.same(documented.toSorted(), [...keys.keys()].toSorted())
})

t.test('the loader accepts exactly the keys of the schema', async (t) => {
  const known = async (raw: unknown, path: string): Promise<string[]> => {
    const problem = (await problemsOf(raw)).find((p) => p.path === path)
    return (/known keys are (.*)$/.exec(problem?.message ?? '')?.[1] ?? '').split(', ').toSorted()
  }
  const below = (path: string): string[] =>
    [...keys.keys()]
      .filter((k) => k.startsWith(`${path}.`) && !/[.[]/.test(k.slice(path.length + 1)))
      .map((k) => k.slice(path.length + 1))
      .toSorted()
  const worker = 'workers.*'
  const q = 'qqqqqqqqq'
  t.same(await known(one({}, { [q]: 1 }), q), [...keys.keys()].filter((k) => !/[.[]/.test(k)).toSorted())
  t.same(await known(one({ [q]: 1 }), `workers.w.${q}`), below(worker))
  for (const key of ['activation', 'backoff', 'limit', 'stall', 'lease', 'needs']) {
    t.same(await known(one({ [key]: { [q]: 1 } }), `workers.w.${key}.${q}`), below(`${worker}.${key}`), key)
  }
  for (const key of ['http', 'control', 'admission', 'sampler', 'limits']) {
    t.same(await known(one({}, { [key]: { [q]: 1 } }), `${key}.${q}`), below(key), key)
  }
  t.same(await known(one({}, { groups: { g: { [q]: 1 } } }), `groups.g.${q}`), below('groups.*'))
  const own = new Set(['module', 'script', 'args', 'cwd', 'config', 'after', 'requires', 'lease', 'needs'])
  t.same(
    await known(one({}, { defaults: { [q]: 1 } }), `defaults.${q}`),
    below(worker).filter((k) => !own.has(k)),
  )
})

t.test('the loader, the schema and the docs have the same defaults', async (t) => {
  const flat = new Map<string, unknown>()
  const flatten = (value: unknown, path: string): void => {
    if (isRecord(value))
      for (const [key, item] of Object.entries(value)) flatten(item, path === '' ? key : `${path}.${key}`)
    else flat.set(path, value)
  }
  const { worker, timezone, lease, ...top } = d.DEFAULTS
  flatten(top, '')
  flatten(worker, 'workers.*')
  flat.set('workers.*.activation.timezone', timezone)
  flat.set('workers.*.lease.ttl', lease.ttl)
  flat.set('workers.*.lease', false)
  t.same(
    Object.fromEntries([...keys.values()].filter((k) => 'default' in k).map((k) => [k.path, k.default])),
    Object.fromEntries(flat),
  )
  for (const [path, value] of flat) t.equal(docsRow(path)[2], `\`${String(value)}\``, path)
})

t.test('the docs have the ranges of the loader', async (t) => {
  const at: Record<keyof typeof d.RANGES, readonly string[]> = {
    admissionMax: ['admission.max'],
    admissionQueue: ['admission.queue'],
    samplerInterval: ['sampler.interval'],
    limitsMessage: ['limits.message'],
    limitsBuffer: ['limits.buffer'],
    memory: ['groups.*.memoryHigh', 'groups.*.memoryMax', 'workers.*.memoryMax'],
    every: ['workers.*.activation.every'],
    sleepAfter: ['workers.*.sleepAfter'],
    backoffFirst: ['workers.*.backoff.first'],
    backoffBase: ['workers.*.backoff.base'],
    backoffFactor: ['workers.*.backoff.factor'],
    backoffMax: ['workers.*.backoff.max'],
    resetAfter: ['workers.*.backoff.resetAfter'],
    failures: ['workers.*.limit.failures'],
    within: ['workers.*.limit.within'],
    stopTimeout: ['workers.*.stopTimeout'],
    startTimeout: ['workers.*.startTimeout'],
    stallAfter: ['workers.*.stall.after'],
    weight: ['workers.*.weight'],
    leaseTtl: ['workers.*.lease.ttl'],
    port: [],
  }
  for (const [name, paths] of Object.entries(at)) {
    const [min, max] = d.RANGES[name as keyof typeof d.RANGES]
    for (const path of paths) {
      t.ok(
        docsRow(path)[3]?.includes(`${min} to ${max}`),
        `${path}: ${min} to ${max}, docs say ${docsRow(path)[3]}`,
      )
    }
  }
})

/** The cells of the table row of `path`: path, type, default, range, meaning. */
function docsRow(path: string): string[] {
  const line = docs.split('\n').find((l) => l.startsWith(`| \`${path}\` |`)) ?? ''
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim())
}
