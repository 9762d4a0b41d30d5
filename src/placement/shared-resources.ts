// The resources that workers of the shared loop share, and the context they run in: they belong to all who use them, so
// their background errors are charged to no worker and drain no herd; they are logged.

import type { Clock } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import { createCapture } from '../log/lines.ts'
import type { Capture } from '../log/lines.ts'
import type { Logger } from '../log/logger.ts'
import { createRunScope, enter } from '../ownership/run-scope.ts'
import { createResourcePool } from '../worker/resources.ts'
import type { ResourcePool } from '../worker/resources.ts'

/** No worker can have this name (src/config). */
const NAME = '(shared resources)'

export function openSharedResources(log: Logger, clock: Clock): ResourcePool {
  return createResourcePool({
    runDetached: createSharedScope(log),
    clock,
    onDisposeError: (key, error) =>
      log.error(
        { event: 'dispose-failed', resource: key, ...describeThrown(error) },
        'a shared resource was not disposed',
      ),
  })
}

function createSharedScope(log: Logger): <R>(fn: () => R) => R {
  let printed: Capture | undefined
  const scope = createRunScope(NAME, -1, 0, {
    stray: (error, via) =>
      log.error(
        { event: 'resource-error', via, ...describeThrown(error) },
        'a shared resource threw in the background',
      ),
    exitCalled: ({ code }) =>
      log.error({ event: 'resource-exit', code }, 'a shared resource called process.exit; ignored'),
    touched: (kind, what) => log.warn({ event: 'process-touched', kind }, `a shared resource: ${what}`),
    output(stream, chunk) {
      printed ??= createCapture(log.child({ resource: NAME }))
      printed[stream].write(chunk)
    },
  })
  scope.loading = false
  return (fn) => enter(scope, fn)
}
