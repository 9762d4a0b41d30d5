// Reads a config that may be wrong anywhere: the checks that need several values run also when some values are of the
// wrong shape, so that all problems come at once. What has the wrong type reads as absent; checkShape has named it.

import { isRecord } from '../base/check.ts'
import type { Json } from '../base/json.ts'
import { DEFAULTS } from './defaults.ts'
import type { Path } from './problems.ts'

export type RawRecord = Readonly<Record<string, Json>>

/** One worker entry as it stands in the config, with where each value comes from. */
export interface RawWorker {
  readonly name: string
  readonly own: RawRecord
  /** The value that holds for `key` (`backoff.base` looks inside): the worker's own, else that of `defaults`, else
   *  byre's default; with the path where the user would change it. */
  find(key: string): {
    readonly value: Json | undefined
    readonly path: Path
    readonly from: 'own' | 'defaults' | 'byre'
  }
}

export function asRecord(value: Json | undefined): RawRecord {
  return isRecord(value) ? (value as RawRecord) : {}
}

export function asText(value: Json | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** The texts of a list with their positions. */
export function asTexts(value: Json | undefined): readonly (readonly [text: string, index: number])[] {
  if (!Array.isArray(value)) return []
  return value
    .map((item: Json, index) => [item, index] as const)
    .filter((e): e is [string, number] => typeof e[0] === 'string')
}

export function rawWorkers(config: RawRecord): RawWorker[] {
  const defaults = asRecord(config['defaults'])
  return Object.entries(asRecord(config['workers'])).map(([name, entry]) =>
    rawWorker(name, asRecord(entry), defaults),
  )
}

function rawWorker(name: string, own: RawRecord, defaults: RawRecord): RawWorker {
  return {
    name,
    own,
    find(key) {
      const keys = key.split('.')
      const mine = inside(own, keys)
      const ownPath = ['workers', name, ...keys]
      if (mine !== undefined) return { value: mine, path: ownPath, from: 'own' }
      const shared = inside(defaults, keys)
      if (shared !== undefined) return { value: shared, path: ['defaults', ...keys], from: 'defaults' }
      return { value: inside(DEFAULTS.worker as unknown as RawRecord, keys), path: ownPath, from: 'byre' }
    },
  }
}

function inside(record: RawRecord, keys: readonly string[]): Json | undefined {
  let value: Json | undefined = record
  for (const key of keys) {
    const at: RawRecord = asRecord(value)
    value = Object.hasOwn(at, key) ? at[key] : undefined
  }
  return value
}
