// What a reload changes, whether it may, and what is logged of it.

import type { Problem } from '../base/errors.ts'
import { diffHerd } from '../config/diff.ts'
import type { HerdDiff } from '../config/diff.ts'
import type { ResolvedHerd } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'

const STOPPING: Problem = {
  path: '(herd)',
  message: 'the herd is being stopped; start it with the new config',
}

/** `refused` is empty when it may be done. */
export function planReload(before: ResolvedHerd, next: ResolvedHerd, isStopping: boolean): HerdDiff {
  const difference = diffHerd(before, next)
  return isStopping ? { ...difference, refused: [STOPPING] } : difference
}

export function reportReloadRefused(log: Logger, problems: readonly Problem[]): void {
  log.error({ event: 'reload-refused', problems }, 'reload refused; the old config keeps running')
}

export function reportReloaded(log: Logger, names: Readonly<Record<string, readonly string[]>>): void {
  log.info({ event: 'reloaded', ...names }, 'config reloaded')
}
