// The shape of a HerdConfig: every key with its type and range. check-herd.ts and check-workers.ts check everything that
// needs more than one value (cycles, files, combinations).

import * as v from 'valibot'
import type { Json } from '../base/json.ts'
import { checkPattern, checkTopic, isInbox } from '../base/topics.ts'
import { reasonBusText, reasonListen, reasonRedisUrl } from './addresses.ts'
import { MIN_SECRET_LENGTH, RANGES } from './defaults.ts'
import * as f from './fields.ts'
import { type Path, type Problems, kindOf, show } from './problems.ts'
import type { HerdConfig } from './types.ts'

const opt = <T>(field: f.Field<T>): v.ExactOptionalSchema<f.Field<T>, undefined> => v.exactOptional(field)

/** Adds all problems of the shape. `json` is a JSON tree without `__proto__` keys (json-value.ts). Returns the typed config
 *  when there is no problem. */
export function checkShape(json: Json, problems: Problems): HerdConfig | undefined {
  const result = v.safeParse(herd(), json)
  for (const issue of result.issues ?? []) {
    const path: Path = issue.path?.map((item) => item.key as string | number) ?? []
    problems.add(path, f.describeIssue(issue))
  }
  return result.success ? result.output : undefined
}

const topicPattern = (): f.Field<string> =>
  f.text("a topic pattern such as 'webhook.>'", (value) =>
    refused('topic pattern', value, checkPattern(value) ?? reasonInbox(value)),
  )
const streamName = (): f.Field<string> =>
  f.text("a stream name such as 'orders.new'", (value) => refused('stream name', value, checkTopic(value)))

/** Patterns that the bus would refuse at run time. */
function reasonInbox(pattern: string): string | undefined {
  return isInbox(pattern)
    ? 'reply topics are reserved for request(). Use the topic of the requests'
    : undefined
}

function refused(what: string, value: string, reason: string | undefined): string | undefined {
  return reason === undefined ? undefined : `must be a ${what}, got ${show(value)}: ${reason}`
}

function activation() {
  const lazy = f.object({
    topics: opt(f.list(topicPattern())),
    streams: opt(f.list(streamName())),
    every: opt(f.duration(RANGES.every)),
    cron: opt(f.line("a cron expression such as '*/5 * * * *'")),
    timezone: opt(f.line("a time zone such as 'Europe/Berlin'")),
  })
  const eager = f.oneOf('eager')
  return v.lazy((value) => (typeof value === 'string' ? eager : lazy))
}

/** The keys that `defaults` and a worker have in common. */
function shared() {
  return {
    group: opt(f.text('a group name', f.reasonGroupName)),
    activation: v.exactOptional(activation()),
    placement: opt(f.oneOf('shared', 'thread', 'process')),
    sleepAfter: opt(f.duration(RANGES.sleepAfter)),
    restart: opt(f.oneOf('always', 'on-failure', 'never')),
    backoff: opt(
      f.object({
        first: opt(f.duration(RANGES.backoffFirst)),
        base: opt(f.duration(RANGES.backoffBase)),
        factor: opt(f.number(RANGES.backoffFactor)),
        max: opt(f.duration(RANGES.backoffMax)),
        resetAfter: opt(f.duration(RANGES.resetAfter)),
      }),
    ),
    limit: opt(
      f.object({ failures: opt(f.integer(RANGES.failures)), within: opt(f.duration(RANGES.within)) }),
    ),
    onLimit: opt(f.oneOf('quarantine', 'eject', 'exit')),
    onStall: opt(f.oneOf('report', 'eject')),
    stopTimeout: opt(f.duration(RANGES.stopTimeout)),
    startTimeout: opt(f.duration(RANGES.startTimeout)),
    ready: opt(f.oneOf('start', 'call')),
    stall: opt(
      f.object({
        detect: opt(f.boolean()),
        after: opt(f.duration(RANGES.stallAfter)),
        profile: opt(f.boolean()),
      }),
    ),
    weight: opt(f.number(RANGES.weight)),
    critical: opt(f.boolean()),
    memoryMax: opt(f.size(RANGES.memory)),
    lean: opt(f.boolean()),
    inside: opt(f.boolean()),
    env: opt(f.record(envValue())),
  }
}

function envValue(): f.Field<string> {
  return f.leaf((value) => {
    if (typeof value !== 'string') return `must be a string, got ${kindOf(value)}`
    return value.includes('\0') ? 'must not contain a NUL character' : undefined
  })
}

function worker() {
  const lease = f.object({ ttl: opt(f.duration(RANGES.leaseTtl)) })
  const yesNo = f.leaf<boolean>((value) =>
    typeof value === 'boolean' ? undefined : `must be true, false or { ttl: '30s' }, got ${show(value)}`,
  )
  return f.object({
    ...shared(),
    module: opt(f.line('the path of a module')),
    script: opt(f.line('the path of a script')),
    args: opt(f.list(argument())),
    cwd: opt(f.line('the path of a folder')),
    config: opt(v.unknown() as f.Field<Json>),
    after: opt(f.list(f.text('the name of a worker', () => undefined))),
    requires: opt(f.list(f.text('the name of a worker', () => undefined))),
    lease: v.exactOptional(v.lazy((value) => (typeof value === 'object' ? lease : yesNo))),
    needs: opt(needs()),
  })
}

function argument(): f.Field<string> {
  return f.text('a string', (value) =>
    value.includes('\0') ? 'must not contain a NUL character' : undefined,
  )
}

function needs() {
  const capability = f.text("a capability such as 'CAP_NET_BIND_SERVICE'", () => undefined)
  const systemGroup = f.text("a system group such as 'adm'", (value) =>
    /^[a-z_][a-z0-9_-]{0,31}$/i.test(value)
      ? undefined
      : `must be a system group such as 'adm', got ${show(value)}`,
  )
  return f.object({
    network: opt(f.oneOf('none', 'outbound', 'inbound', 'full')),
    paths: opt(f.list(f.line('a path'))),
    groups: opt(f.list(systemGroup)),
    capabilities: opt(f.list(capability)),
  })
}

function bus() {
  const node = f.object({
    host: f.line('a host name or address'),
    port: f.integer([1, 65_535]),
  })
  const nodes = f.list(node, { min: 1, of: 'node' })
  const asText = f.secretText("'embedded', a redis:// URL or an object", reasonBusText)
  const asUrl = f.object({ url: f.secretText('a redis:// URL', reasonRedisUrl) })
  const asSentinels = f.object({ sentinels: nodes, name: f.line('the name of the master') })
  const asCluster = f.object({ cluster: nodes })
  const unclear = f.leaf<never>(() => "must have exactly one of the keys 'url', 'sentinels' and 'cluster'")
  return v.lazy((value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return asText
    const given = ['url', 'sentinels', 'cluster'].filter((key) => key in value)
    if (given.length !== 1) return unclear
    return given[0] === 'url' ? asUrl : given[0] === 'sentinels' ? asSentinels : asCluster
  })
}

function control() {
  // Not a plain oneOf: a wrong value may be the secret, which no message may quote.
  const unsigned = f.leaf<'unsigned'>((value) =>
    value === 'unsigned' ? undefined : `must be 'unsigned', got ${kindOf(value)}`,
  )
  return f.object({
    secret: opt(
      f.secretText('a string', (value) =>
        value.length >= MIN_SECRET_LENGTH
          ? undefined
          : `must have at least ${MIN_SECRET_LENGTH} characters, got ${value.length}`,
      ),
    ),
    overRedis: opt(unsigned),
  })
}

function herd() {
  return f.object({
    $schema: opt(f.text('a string', () => undefined)),
    name: f.text('a name', f.reasonName),
    bus: v.exactOptional(bus()),
    http: opt(f.object({ listen: f.text("'host:port'", reasonListen) })),
    defaults: opt(f.object(shared())),
    groups: opt(
      f.record(f.object({ memoryHigh: opt(f.size(RANGES.memory)), memoryMax: opt(f.size(RANGES.memory)) })),
    ),
    workers: f.record(worker()),
    control: opt(control()),
    admission: opt(
      f.object({ max: opt(f.integer(RANGES.admissionMax)), queue: opt(f.integer(RANGES.admissionQueue)) }),
    ),
    sampler: opt(f.object({ enabled: opt(f.boolean()), interval: opt(f.duration(RANGES.samplerInterval)) })),
    limits: opt(
      f.object({ message: opt(f.size(RANGES.limitsMessage)), buffer: opt(f.integer(RANGES.limitsBuffer)) }),
    ),
    onUnattributed: opt(f.oneOf('drain', 'report')),
  })
}
