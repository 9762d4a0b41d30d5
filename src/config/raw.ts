// Reads a config that may be invalid in any part. The checks that concern several values run even when some values have
// the wrong type, so that all problems are reported together. A value of the wrong type reads as absent; checkShape reports
// it.

import { isRecord } from '../base/check.ts'
import type { Json } from '../base/json.ts'
import { DEFAULTS } from './defaults.ts'
import type { Path } from './problems.ts'

export type RawRecord = Readonly<Record<string, Json>>

/** A worker entry of the unchecked config. */
export interface RawWorker {
  readonly name: string
  readonly own: RawRecord
  /** Returns the effective value of `key`, which may be nested (`backoff.base`): from the worker, else from `defaults`, else
   *  byre's default. `path` is where the user would change it. */
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

/** The strings of a list with their positions. */
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
      const ownValue = valueAt(own, keys)
      const ownPath = ['workers', name, ...keys]
      if (ownValue !== undefined) return { value: ownValue, path: ownPath, from: 'own' }
      const shared = valueAt(defaults, keys)
      if (shared !== undefined) return { value: shared, path: ['defaults', ...keys], from: 'defaults' }
      return { value: valueAt(DEFAULTS.worker as unknown as RawRecord, keys), path: ownPath, from: 'byre' }
    },
  }
}

function valueAt(record: RawRecord, keys: readonly string[]): Json | undefined {
  let value: Json | undefined = record
  for (const key of keys) {
    const at: RawRecord = asRecord(value)
    value = Object.hasOwn(at, key) ? at[key] : undefined
  }
  return value
}
