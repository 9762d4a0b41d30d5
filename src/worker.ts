// Entry 'byre/worker': the worker contract. The smallest entry: at run time it is one identity function.
import type { Json } from './base/json.ts'
import type { WorkerContext, WorkerModule } from './worker/contract.ts'

/** `export const run = defineWorker<Config>(async (ctx) => { ... })`. Returns `run`; it only sets the types for TypeScript. */
export function defineWorker<Config = Json>(
  run: (ctx: WorkerContext<Config>) => unknown,
): WorkerModule<Config>['run'] {
  return run
}

export type {
  EveryOptions,
  OffloadOptions,
  Resource,
  Wake,
  WakeCause,
  WorkerContext,
  WorkerModule,
} from './worker/contract.ts'
export type { StopKind, StopReason } from './worker/stop-reason.ts'
export type {
  Bus,
  EnqueueOptions,
  Gap,
  Job,
  Message,
  OverflowPolicy,
  PublishOptions,
  RequestOptions,
  StreamOptions,
  SubscribeOptions,
  Subscription,
} from './bus/bus.ts'
export type { Json } from './base/json.ts'
export type { LogFn, Logger, LogLevel } from './log/logger.ts'
