// Plans a reload: what it changes and what it must refuse. Logs the result.

import type { Problem } from '../base/errors.ts'
import { diffHerd } from '../config/diff.ts'
import type { HerdDiff } from '../config/diff.ts'
import type { ResolvedHerd } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'

const STOPPING: Problem = {
  path: '(herd)',
  message: 'the herd is stopping. Start it with the new config',
}

/** `refused` is empty if the reload is allowed. */
export function planReload(before: ResolvedHerd, next: ResolvedHerd, isStopping: boolean): HerdDiff {
  const difference = diffHerd(before, next)
  return isStopping ? { ...difference, refused: [STOPPING] } : difference
}

export function reportReloadRefused(log: Logger, problems: readonly Problem[]): void {
  log.error({ event: 'reload-refused', problems }, 'reload refused; the old config stays active')
}

export function reportReloaded(log: Logger, names: Readonly<Record<string, readonly string[]>>): void {
  log.info({ event: 'reloaded', ...names }, 'config reloaded')
}
