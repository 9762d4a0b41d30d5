// Reads the values of flags by type.

import { ByreError } from '../base/errors.ts'
import type { FlagValues } from './flags.ts'

/** Returns undefined when the flag is not given. */
export function text(flags: FlagValues, name: string): string | undefined {
  const value = flags[name]
  return typeof value === 'string' ? value : undefined
}

/** Returns an empty list when the flag is not given. */
export function list(flags: FlagValues, name: string): readonly string[] {
  const value = flags[name]
  return Array.isArray(value) ? (value as string[]) : []
}

/** Returns undefined when the flag is not given. Throws BYRE_USAGE unless it is a whole number from `min` to `max`. */
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
