// Converts the export of a config file to a ResolvedHerd: copies it as JSON, checks the shape and the rules, and applies
// the defaults. The problems of all steps are returned together.

import { dirname, resolve } from 'node:path'
import { parseBytes } from '../base/bytes.ts'
import { parseDurationMs } from '../base/durations.ts'
import type { Problem } from '../base/errors.ts'
import { isRecord } from '../base/check.ts'
import { parseListen, resolveBus } from './addresses.ts'
import { checkCrons } from './check-cron.ts'
import { checkRules } from './check-herd.ts'
import { DEFAULTS } from './defaults.ts'
import { copyJson } from './json-value.ts'
import { createProblems, kindOf } from './problems.ts'
import type { RawRecord } from './raw.ts'
import { checkShape } from './schema.ts'
import type {
  ActivationConfig,
  HerdConfig,
  NeedsConfig,
  ResolvedActivation,
  ResolvedHerd,
  ResolvedWorker,
  WorkerConfig,
  WorkerDefaults,
} from './types.ts'

export interface ResolveOptions {
  /** Absolute path of the config file. Paths in the config resolve against its folder. */
  readonly file: string
}

export type ResolveResult =
  | { readonly ok: true; readonly herd: ResolvedHerd }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Never rejects, for any value of `raw`. Reads the file system to check that modules exist. Loads croner only when a
 *  worker has a `cron`. The herd is plain JSON and shares no object with `raw`. */
export async function resolveHerd(raw: unknown, options: ResolveOptions): Promise<ResolveResult> {
  const problems = createProblems()
  const json = copyJson(raw, problems)
  if (!isRecord(json)) {
    if (problems.count === 0) problems.add([], `must be an object, got ${kindOf(json)}`)
    return { ok: false, problems: problems.list() }
  }
  const folder = dirname(options.file)
  const config = checkShape(json, problems)
  checkRules(json as RawRecord, folder, problems)
  await checkCrons(json as RawRecord, problems)
  if (config === undefined || problems.count > 0) return { ok: false, problems: problems.list() }
  return { ok: true, herd: buildHerd(config, options.file, folder) }
}

function buildHerd(config: HerdConfig, file: string, folder: string): ResolvedHerd {
  const intern = createInterner()
  const workers = Object.entries(config.workers).map(([name, own]) =>
    buildWorker(name, own, config.defaults ?? {}, folder, intern),
  )
  const listen = config.http === undefined ? undefined : parseListen(config.http.listen)
  const sampler = { ...DEFAULTS.sampler, ...config.sampler }
  const limits = { ...DEFAULTS.limits, ...config.limits }
  return {
    name: config.name,
    file,
    folder,
    bus: resolveBus(config.bus ?? DEFAULTS.bus),
    ...withoutUndefined({ http: listen }),
    groups: buildGroups(config, workers),
    workers,
    control: config.control ?? {},
    admission: { ...DEFAULTS.admission, ...config.admission },
    sampler: { enabled: sampler.enabled, intervalMs: durationMs(sampler.interval) },
    limits: { messageBytes: sizeBytes(limits.message), buffer: limits.buffer },
    onUnattributed: config.onUnattributed ?? DEFAULTS.onUnattributed,
  }
}

/** Every group that is declared or that has a worker. */
function buildGroups(config: HerdConfig, workers: readonly ResolvedWorker[]): ResolvedHerd['groups'] {
  const groups: Record<string, { memoryHighBytes?: number; memoryMaxBytes?: number }> = {}
  for (const [name, group] of Object.entries(config.groups ?? {})) {
    groups[name] = withoutUndefined({
      memoryHighBytes: group.memoryHigh === undefined ? undefined : sizeBytes(group.memoryHigh),
      memoryMaxBytes: group.memoryMax === undefined ? undefined : sizeBytes(group.memoryMax),
    })
  }
  for (const worker of workers) groups[worker.group] ??= {}
  return groups
}

function buildWorker(
  name: string,
  own: WorkerConfig,
  shared: WorkerDefaults,
  folder: string,
  intern: Interner,
): ResolvedWorker {
  const base = DEFAULTS.worker
  const merged = { ...base, ...shared, ...own }
  const backoff = { ...base.backoff, ...shared.backoff, ...own.backoff }
  const limit = { ...base.limit, ...shared.limit, ...own.limit }
  const stall = { ...base.stall, ...shared.stall, ...own.stall }
  const script = own.script !== undefined
  // The keys that most workers lack are added last: an object that is created from one literal is the smallest.
  const worker: ResolvedWorker = {
    name,
    group: merged.group,
    source: script
      ? { kind: 'script', path: resolve(folder, own.script), args: own.args ?? [] }
      : { kind: 'module', path: resolve(folder, own.module ?? '') },
    config: own.config === undefined ? intern({}) : own.config,
    env: intern({ ...shared.env, ...own.env }),
    activation: intern(buildActivation(merged.activation)),
    placement: merged.placement,
    restart: merged.restart,
    backoff: intern({
      firstMs: durationMs(backoff.first),
      baseMs: durationMs(backoff.base),
      factor: backoff.factor,
      maxMs: durationMs(backoff.max),
      resetAfterMs: durationMs(backoff.resetAfter),
    }),
    limit: intern({ failures: limit.failures, withinMs: durationMs(limit.within) }),
    onLimit: merged.onLimit,
    onStall: merged.onStall,
    stall: intern({ detect: stall.detect, afterMs: durationMs(stall.after), profile: stall.profile }),
    startTimeoutMs: durationMs(merged.startTimeout),
    stopTimeoutMs: durationMs(merged.stopTimeout),
    // A script has no ctx.ready(), so `ready: 'call'` in `defaults` does not apply to it.
    ready: script ? 'start' : merged.ready,
    weight: merged.weight,
    critical: merged.critical,
    after: intern([...new Set(own.after)]),
    requires: intern([...new Set(own.requires)]),
    needs: intern(buildNeeds(own.needs ?? {}, folder)),
  }
  return Object.assign(
    worker,
    withoutUndefined({
      cwd: own.cwd === undefined ? undefined : resolve(folder, own.cwd),
      sleepAfterMs: sleepAfterMs(merged),
      memoryMaxBytes: merged.memoryMax === undefined ? undefined : sizeBytes(merged.memoryMax),
      lean: merged.lean === true ? true : undefined,
      // byre's code is always loaded into the process of a module, so `inside` in `defaults` does not apply to it.
      inside: script && merged.inside === true ? true : undefined,
      lease: buildLease(own.lease),
    }),
  )
}

/** Returns the first of all equal values, so that a thousand workers share one backoff object. */
type Interner = <T extends object>(value: T) => T

function createInterner(): Interner {
  const known = new Map<string, object>()
  return <T extends object>(value: T) => {
    const key = JSON.stringify(value)
    const first = known.get(key) ?? value
    if (first === value) known.set(key, value)
    return first as T
  }
}

function buildActivation(activation: 'eager' | ActivationConfig): ResolvedActivation {
  if (activation === 'eager') return { kind: 'eager' }
  const { topics = [], streams = [], every, cron, timezone = DEFAULTS.timezone } = activation
  return {
    kind: 'lazy',
    topics: [...new Set(topics)],
    streams: [...new Set(streams)],
    ...withoutUndefined({
      everyMs: every === undefined ? undefined : durationMs(every),
      cron: cron === undefined ? undefined : { expression: cron, timezone },
    }),
  }
}

/** `sleepAfter` in `defaults` does not apply to shared workers, since their modules cannot be unloaded. */
function sleepAfterMs(merged: WorkerConfig): number | undefined {
  if (merged.sleepAfter === undefined || merged.placement === 'shared') return undefined
  return durationMs(merged.sleepAfter)
}

function buildLease(lease: WorkerConfig['lease']): ResolvedWorker['lease'] {
  if (lease === undefined || lease === false) return undefined
  const ttl = lease === true ? undefined : lease.ttl
  return { ttlMs: durationMs(ttl ?? DEFAULTS.lease.ttl) }
}

function buildNeeds(needs: NeedsConfig, folder: string): NeedsConfig {
  return needs.paths === undefined
    ? needs
    : { ...needs, paths: needs.paths.map((path) => resolve(folder, path)) }
}

/** Removes entries with the value undefined, which exactOptionalPropertyTypes forbids and JSON does not have. */
function withoutUndefined<T extends object>(entries: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof withoutUndefined<T>
  >
}

/** Only for strings that the schema has accepted. */
function durationMs(text: string): number {
  return parseDurationMs(text)!
}

function sizeBytes(text: string): number {
  return parseBytes(text)!
}
