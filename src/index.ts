// Entry 'byre': the config helper. The supervisor and everything heavy are reached through the command line.
import type { HerdConfig } from './config/types.ts'

/** `export default defineHerd({ ... })`. The identity function; fixes inference in a config file. */
export function defineHerd(config: HerdConfig): HerdConfig {
  return config
}

export { ByreError } from './base/errors.ts'
export type { ErrorCode, Problem } from './base/errors.ts'
export type * from './config/types.ts'
