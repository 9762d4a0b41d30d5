// Entry 'byre/worker': the contract. The cheapest entry; at run time it is one identity function.
export { defineWorker } from './worker/define.ts'
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
