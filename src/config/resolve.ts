// From whatever a config file exports to a ResolvedHerd: copy as JSON, check the shape, check the rules, then apply
// the defaults. All problems of all steps come back at once.

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
  /** Absolute path of the config file; paths in the config resolve against its folder. */
  readonly file: string
}

export type ResolveResult =
  | { readonly ok: true; readonly herd: ResolvedHerd }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Never rejects for anything `raw` may be. Reads the file system (do the modules exist?) but changes nothing; loads
 *  croner only when a worker has a `cron`. The herd is plain JSON and shares no object with `raw`. */
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
  const same = createInterner()
  const workers = Object.entries(config.workers).map(([name, own]) =>
    buildWorker(name, own, config.defaults ?? {}, folder, same),
  )
  const listen = config.http === undefined ? undefined : parseListen(config.http.listen)
  const sampler = { ...DEFAULTS.sampler, ...config.sampler }
  const limits = { ...DEFAULTS.limits, ...config.limits }
  return {
    name: config.name,
    file,
    folder,
    bus: resolveBus(config.bus ?? DEFAULTS.bus),
    ...given({ http: listen }),
    groups: buildGroups(config, workers),
    workers,
    control: config.control ?? {},
    admission: { ...DEFAULTS.admission, ...config.admission },
    sampler: { enabled: sampler.enabled, intervalMs: durationMs(sampler.interval) },
    limits: { messageBytes: sizeBytes(limits.message), buffer: limits.buffer },
    onUnattributed: config.onUnattributed ?? DEFAULTS.onUnattributed,
  }
}

/** Every group that is declared or that a worker is in. */
function buildGroups(config: HerdConfig, workers: readonly ResolvedWorker[]): ResolvedHerd['groups'] {
  const groups: Record<string, { memoryHighBytes?: number; memoryMaxBytes?: number }> = {}
  for (const [name, group] of Object.entries(config.groups ?? {})) {
    groups[name] = given({
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
  same: Interner,
): ResolvedWorker {
  const base = DEFAULTS.worker
  const merged = { ...base, ...shared, ...own }
  const backoff = { ...base.backoff, ...shared.backoff, ...own.backoff }
  const limit = { ...base.limit, ...shared.limit, ...own.limit }
  const stall = { ...base.stall, ...shared.stall, ...own.stall }
  const script = own.script !== undefined
  // Keys that most workers have not come last: an object made in one piece is the smallest.
  const worker: ResolvedWorker = {
    name,
    group: merged.group,
    source: script
      ? { kind: 'script', path: resolve(folder, own.script), args: own.args ?? [] }
      : { kind: 'module', path: resolve(folder, own.module ?? '') },
    config: own.config === undefined ? same({}) : own.config,
    env: same({ ...shared.env, ...own.env }),
    activation: same(buildActivation(merged.activation)),
    placement: merged.placement,
    restart: merged.restart,
    backoff: same({
      firstMs: durationMs(backoff.first),
      baseMs: durationMs(backoff.base),
      factor: backoff.factor,
      maxMs: durationMs(backoff.max),
      resetAfterMs: durationMs(backoff.resetAfter),
    }),
    limit: same({ failures: limit.failures, withinMs: durationMs(limit.within) }),
    onLimit: merged.onLimit,
    onStall: merged.onStall,
    stall: same({ detect: stall.detect, afterMs: durationMs(stall.after), profile: stall.profile }),
    startTimeoutMs: durationMs(merged.startTimeout),
    stopTimeoutMs: durationMs(merged.stopTimeout),
    // A script has no ctx to call ready() on: `ready: 'call'` of `defaults` is not for it.
    ready: script ? 'start' : merged.ready,
    weight: merged.weight,
    critical: merged.critical,
    after: same([...new Set(own.after)]),
    requires: same([...new Set(own.requires)]),
    needs: same(buildNeeds(own.needs ?? {}, folder)),
  }
  return Object.assign(
    worker,
    given({
      cwd: own.cwd === undefined ? undefined : resolve(folder, own.cwd),
      sleepAfterMs: sleepAfterMs(merged),
      memoryMaxBytes: merged.memoryMax === undefined ? undefined : sizeBytes(merged.memoryMax),
      lean: merged.lean === true ? true : undefined,
      // A module has byre's code in its process anyway: `inside` of `defaults` is not for it.
      inside: script && merged.inside === true ? true : undefined,
      lease: buildLease(own.lease),
    }),
  )
}

/** Gives the first of all equal values: a thousand workers have one backoff between them. */
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
    ...given({
      everyMs: every === undefined ? undefined : durationMs(every),
      cron: cron === undefined ? undefined : { expression: cron, timezone },
    }),
  }
}

/** A `sleepAfter` of `defaults` is not for shared workers: their modules cannot be unloaded. */
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

/** The entries that have a value: exactOptionalPropertyTypes allows no undefined, and JSON has none. */
function given<T extends object>(entries: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof given<T>
  >
}

/** Only for texts the schema has accepted. */
function durationMs(text: string): number {
  return parseDurationMs(text)!
}

function sizeBytes(text: string): number {
  return parseBytes(text)!
}
