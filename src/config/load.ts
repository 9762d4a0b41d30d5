// Finds, evaluates and resolves a config in this process, as `byre` does at start. resolve.ts, which imports valibot, is
// loaded only here.

import { ByreError, describeProblems } from '../base/errors.ts'
import { type EvaluateOptions, evaluateFile } from './evaluate-file.ts'
import { findConfig } from './find.ts'
import { show } from './problems.ts'
import type { ResolvedHerd } from './types.ts'

export interface LoadOptions extends EvaluateOptions {
  /** Path of the config, absolute or relative to `cwd`. @default the only byre.config.* in `cwd` */
  readonly file?: string
  readonly cwd: string
}

/** Loads the config and applies all defaults. Throws BYRE_CONFIG_NOT_FOUND, or BYRE_CONFIG_INVALID with all problems in the
 *  message and in `details.problems`. The config sees `process.env` of this process. */
export async function loadHerd(options: LoadOptions): Promise<ResolvedHerd> {
  const file = findConfig(options.file, options.cwd)
  const { exported } = await evaluateFile(file, options)
  const { resolveHerd } = await import('./resolve.ts')
  const result = await resolveHerd(exported, { file })
  if (result.ok) return result.herd
  throw new ByreError(
    'BYRE_CONFIG_INVALID',
    describeProblems(`Cannot use the config ${show(file, 1024)}`, result.problems),
    {
      details: { file, problems: result.problems },
    },
  )
}
