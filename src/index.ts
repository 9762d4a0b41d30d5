// Entry 'byre': the helper for config files. The supervisor is started through the command line only.
import type { HerdConfig } from './config/types.ts'

/** `export default defineHerd({ ... })`. Returns `config`; it only sets the types for TypeScript and editors. */
export function defineHerd(config: HerdConfig): HerdConfig {
  return config
}

export { ByreError } from './base/errors.ts'
export type { ErrorCode, Problem } from './base/errors.ts'
export type * from './config/types.ts'
