// The types of the config: HerdConfig, as the user writes it, and ResolvedHerd, which all other code uses. A resolved herd
// has all defaults applied, durations in ms, sizes in bytes, and absolute paths.

import type { Json } from '../base/json.ts'

export type Duration = string
export type Size = string

export type Placement = 'shared' | 'thread' | 'process'
export type RestartPolicy = 'always' | 'on-failure' | 'never'
export type OnLimit = 'quarantine' | 'eject' | 'exit'
export type ReadyMode = 'start' | 'call'

export interface BackoffConfig {
  readonly first?: Duration
  readonly base?: Duration
  readonly factor?: number
  readonly max?: Duration
  readonly resetAfter?: Duration
}
export interface LimitConfig {
  readonly failures?: number
  readonly within?: Duration
}
export interface ActivationConfig {
  readonly topics?: readonly string[]
  readonly streams?: readonly string[]
  readonly every?: Duration
  readonly cron?: string
  /** IANA zone of `cron`. @default 'UTC' */
  readonly timezone?: string
}
export interface NeedsConfig {
  readonly network?: 'none' | 'outbound' | 'inbound' | 'full'
  readonly paths?: readonly string[]
  readonly groups?: readonly string[]
  readonly capabilities?: readonly string[]
}

/** The keys that `defaults` can set for all workers. */
export interface WorkerDefaults {
  readonly group?: string
  readonly activation?: 'eager' | ActivationConfig
  readonly placement?: Placement
  readonly sleepAfter?: Duration
  readonly restart?: RestartPolicy
  readonly backoff?: BackoffConfig
  readonly limit?: LimitConfig
  readonly onLimit?: OnLimit
  readonly onStall?: 'report' | 'eject'
  readonly stopTimeout?: Duration
  readonly startTimeout?: Duration
  readonly ready?: ReadyMode
  readonly stall?: { readonly detect?: boolean; readonly after?: Duration; readonly profile?: boolean }
  readonly weight?: number
  readonly critical?: boolean
  readonly memoryMax?: Size
  /** The worker's process gets the supervisor's node flags and malloc setting. @default false */
  readonly lean?: boolean
  /** byre's code is loaded into the process of a script, for stalls, profiles and heap figures. @default false */
  readonly inside?: boolean
  readonly env?: Readonly<Record<string, string>>
}

export interface WorkerConfig extends WorkerDefaults {
  /** Exactly one of module and script is required. */
  readonly module?: string
  readonly script?: string
  readonly args?: readonly string[]
  readonly cwd?: string
  readonly config?: Json
  readonly after?: readonly string[]
  readonly requires?: readonly string[]
  readonly lease?: boolean | { readonly ttl?: Duration }
  readonly needs?: NeedsConfig
}

export interface GroupConfig {
  readonly memoryHigh?: Size
  readonly memoryMax?: Size
}

export type BusConfig =
  | string
  | { readonly url: string }
  | { readonly sentinels: readonly { readonly host: string; readonly port: number }[]; readonly name: string }
  | { readonly cluster: readonly { readonly host: string; readonly port: number }[] }

export interface HerdConfig {
  readonly name: string
  readonly bus?: BusConfig
  readonly http?: { readonly listen: string }
  readonly defaults?: WorkerDefaults
  readonly groups?: Readonly<Record<string, GroupConfig>>
  readonly workers: Readonly<Record<string, WorkerConfig>>
  readonly control?: { readonly secret?: string; readonly overRedis?: 'unsigned' }
  readonly admission?: { readonly max?: number; readonly queue?: number }
  readonly sampler?: { readonly enabled?: boolean; readonly interval?: Duration }
  readonly limits?: { readonly message?: Size; readonly buffer?: number }
  readonly onUnattributed?: 'drain' | 'report'
}

/* Resolved forms: plain JSON, so that a herd crosses a process boundary unchanged. */

export interface ResolvedBackoff {
  readonly firstMs: number
  readonly baseMs: number
  readonly factor: number
  readonly maxMs: number
  /** A run that stays up this long resets the failure count. */
  readonly resetAfterMs: number
}
export interface ResolvedLimit {
  readonly failures: number
  readonly withinMs: number
}
export type ResolvedActivation =
  | { readonly kind: 'eager' }
  | {
      readonly kind: 'lazy'
      readonly topics: readonly string[]
      readonly streams: readonly string[]
      readonly everyMs?: number
      readonly cron?: { readonly expression: string; readonly timezone: string }
    }

export interface ResolvedWorker {
  readonly name: string
  readonly group: string
  readonly source:
    | { readonly kind: 'module'; readonly path: string }
    | { readonly kind: 'script'; readonly path: string; readonly args: readonly string[] }
  readonly config: Json
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly activation: ResolvedActivation
  readonly placement: Placement
  readonly sleepAfterMs?: number
  readonly restart: RestartPolicy
  readonly backoff: ResolvedBackoff
  readonly limit: ResolvedLimit
  readonly onLimit: OnLimit
  readonly onStall: 'report' | 'eject'
  readonly stall: { readonly detect: boolean; readonly afterMs: number; readonly profile: boolean }
  readonly startTimeoutMs: number
  readonly stopTimeoutMs: number
  readonly ready: ReadyMode
  readonly weight: number
  readonly critical: boolean
  readonly after: readonly string[]
  readonly requires: readonly string[]
  readonly memoryMaxBytes?: number
  /** Present when true. For placement `process`. */
  readonly lean?: true
  /** Present when true. For a script with placement `process`. */
  readonly inside?: true
  readonly lease?: { readonly ttlMs: number }
  readonly needs: NeedsConfig
}

export type ResolvedBus =
  | { readonly kind: 'embedded' }
  | { readonly kind: 'redis'; readonly url: string }
  | {
      readonly kind: 'sentinel'
      readonly sentinels: readonly { readonly host: string; readonly port: number }[]
      readonly name: string
    }
  | { readonly kind: 'cluster'; readonly nodes: readonly { readonly host: string; readonly port: number }[] }

export interface ResolvedHerd {
  readonly name: string
  /** Absolute paths of the config file and of its folder. */
  readonly file: string
  readonly folder: string
  readonly bus: ResolvedBus
  readonly http?: { readonly host: string; readonly port: number }
  readonly groups: Readonly<
    Record<string, { readonly memoryHighBytes?: number; readonly memoryMaxBytes?: number }>
  >
  /** In config order. */
  readonly workers: readonly ResolvedWorker[]
  readonly control: { readonly secret?: string; readonly overRedis?: 'unsigned' }
  readonly admission: { readonly max?: number; readonly queue: number }
  readonly sampler: { readonly enabled: boolean; readonly intervalMs: number }
  readonly limits: { readonly messageBytes: number; readonly buffer: number }
  readonly onUnattributed: 'drain' | 'report'
}
