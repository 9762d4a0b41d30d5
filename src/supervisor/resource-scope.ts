// The context shared resources live in: they belong to all who use them, so their background errors are charged to no
// worker and drain nobody; they are told, with the key of no one else to blame.

import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import { createRunScope, enter } from './attribution/run-scope.ts'

/** No worker can have this name (src/config). */
const NAME = '(shared resources)'

/** Runs create and dispose of shared resources. */
export function createResourceScope(log: Logger): <R>(fn: () => R) => R {
  const scope = createRunScope(NAME, -1, 0, {
    stray: (error, via) =>
      log.error(
        { event: 'resource-error', via, ...describeThrown(error) },
        'a shared resource threw in the background',
      ),
    exitCalled: ({ code }) =>
      log.error({ event: 'resource-exit', code }, 'a shared resource called process.exit; ignored'),
    touched: (kind, what) => log.warn({ event: 'process-touched', kind }, `a shared resource: ${what}`),
    output: (stream, chunk) =>
      log.info({ event: 'resource-output', stream }, String(chunk).slice(0, 8192).trimEnd()),
  })
  scope.loading = false
  return (fn) => enter(scope, fn)
}
