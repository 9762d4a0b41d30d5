// Resources that workers of the shared loop share, and the async context in which they run. They belong to all their users,
// so an error in their background work is logged; it is charged to no worker and does not stop the herd.

import type { Clock } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import { createCapture } from '../log/capture.ts'
import type { Capture } from '../log/capture.ts'
import type { Logger } from '../log/logger.ts'
import { createRunScope, enter } from '../ownership/run-scope.ts'
import type { ChildrenSink } from '../ownership/run-scope.ts'
import { createResourcePool } from '../worker/resources.ts'
import type { ResourcePool } from '../worker/resources.ts'

/** Not a valid name of a worker (src/config). */
const NAME = '(shared resources)'

export function openSharedResources(log: Logger, clock: Clock, children: ChildrenSink): ResourcePool {
  return createResourcePool({
    runDetached: createSharedScope(log, children),
    clock,
    onDisposeError: (key, error) =>
      log.error(
        { event: 'dispose-failed', resource: key, ...describeThrown(error) },
        'disposing a shared resource failed',
      ),
  })
}

function createSharedScope(log: Logger, children: ChildrenSink): <R>(fn: () => R) => R {
  let printed: Capture | undefined
  const scope = createRunScope(NAME, -1, 0, {
    stray: (error, via) =>
      log.error(
        { event: 'resource-error', via, ...describeThrown(error) },
        'a shared resource threw in the background',
      ),
    exitCalled: ({ code }) =>
      log.error({ event: 'resource-exit', code }, 'ignored process.exit of a shared resource'),
    touched: (kind, what) => log.warn({ event: 'process-touched', kind }, `a shared resource: ${what}`),
    output(stream, chunk) {
      printed ??= createCapture(log.child({ resource: NAME }))
      printed[stream].write(chunk)
    },
    children,
  })
  return (fn) => enter(scope, fn)
}
