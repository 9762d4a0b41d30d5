// Fixes inference for worker authors; does nothing at run time.

import type { Json } from '../base/json.ts'
import type { WorkerContext, WorkerModule } from './contract.ts'

/** `export const run = defineWorker<Config>(async (ctx) => { ... })`. The identity function. */
export function defineWorker<Config = Json>(
  run: (ctx: WorkerContext<Config>) => unknown,
): WorkerModule<Config>['run'] {
  return run
}
