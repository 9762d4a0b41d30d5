// The error for every failure to load a config. It is separate from the loading code, which a process that loads configs
// in a child must not import.

import { ByreError } from '../base/errors.ts'
import { show } from './problems.ts'

/** The default time limit for a config's top-level code, in ms. */
export const DEFAULT_EVALUATE_MS = 10_000

/** Builds BYRE_CONFIG_INVALID for the config `file`. `line` and `column` start at 1 and are also in `details`. */
export function loadError(
  file: string,
  reason: string,
  at: { readonly line?: number | undefined; readonly column?: number | undefined } = {},
  cause?: unknown,
): ByreError {
  const { line, column } = at
  const where =
    line === undefined ? '' : column === undefined ? `line ${line}: ` : `line ${line}, column ${column}: `
  const details = {
    file,
    ...(line === undefined ? {} : { line }),
    ...(column === undefined ? {} : { column }),
  }
  return new ByreError(
    'BYRE_CONFIG_INVALID',
    `Cannot load the config ${show(file, 1024)}: ${where}${reason}`,
    {
      details,
      cause,
    },
  )
}
