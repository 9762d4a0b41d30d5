// Runs CPU work of all workers on one thread pool (piscina), which is loaded on first use.

import { availableParallelism } from 'node:os'
import { lazyModule } from '../base/lazy.ts'
import type { Piscina } from 'piscina'
import type { OffloadOptions } from './contract.ts'

/** Threads without work end after this time, so that an idle herd has none. */
const IDLE_TIMEOUT_MS = 10_000
const QUEUE_MAX = 1000

export interface Offloader {
  run<T>(moduleUrl: string | URL, input: unknown, options?: OffloadOptions): Promise<T>
  close(): Promise<void>
}

/** `runDetached` keeps the pool, which outlives its first user, out of that worker's context. */
export function createOffloader(runDetached: <R>(fn: () => R) => R): Offloader {
  const library = lazyModule(async () => import('piscina'))
  let pool: Piscina | undefined
  const open = async (): Promise<Piscina> => {
    const { Piscina: Pool } = await library.load()
    pool ??= runDetached(
      () =>
        new Pool({
          minThreads: 0,
          maxThreads: availableParallelism(),
          maxQueue: QUEUE_MAX,
          idleTimeout: IDLE_TIMEOUT_MS,
        }),
    )
    return pool
  }
  return {
    async run<T>(moduleUrl: string | URL, input: unknown, options: OffloadOptions = {}): Promise<T> {
      const threads = await runDetached(open)
      const signal = options.signal === undefined ? {} : { signal: options.signal }
      // A task may start a thread. Its timers and pipes belong to the pool, not to the worker that submitted the task.
      const task = runDetached(() => threads.run(input, { filename: String(moduleUrl), ...signal }))
      return (await task) as T
    },
    async close() {
      await pool?.destroy()
    },
  }
}
