// One flag's value, of the kind its command takes.

import { ByreError } from '../base/errors.ts'
import type { FlagValues } from './flags.ts'

/** Undefined when it was not given. */
export function text(flags: FlagValues, name: string): string | undefined {
  const value = flags[name]
  return typeof value === 'string' ? value : undefined
}

/** Empty when it was not given. */
export function list(flags: FlagValues, name: string): readonly string[] {
  const value = flags[name]
  return Array.isArray(value) ? (value as string[]) : []
}

/** Undefined when it was not given; throws BYRE_USAGE when it is no whole number from `min` to `max`. */
export function wholeNumber(flags: FlagValues, name: string, min: number, max: number): number | undefined {
  const value = text(flags, name)
  if (value === undefined) return undefined
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
  if (number >= min && number <= max) return number
  throw new ByreError(
    'BYRE_USAGE',
    `Cannot use --${kebabCase(name)}: it must be a whole number from ${min} to ${max}, got '${value}'.`,
  )
}

function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
