// The error every failure to load a config becomes; apart from the loading itself, which the parent of a child
// process must not pay for.

import { ByreError } from '../base/errors.ts'
import { show } from './problems.ts'

/** How long a config's top-level code may take. */
export const DEFAULT_EVALUATE_MS = 10_000

/** BYRE_CONFIG_INVALID for the config `file`; `line` and `column` count from 1 and are in `details` too. */
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
