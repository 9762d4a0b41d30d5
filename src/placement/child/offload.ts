// ctx.offload of a worker in a thread or a process. A thread shares the supervisor's process, and so its one pool. A process
// has a pool of its own: a module that crashes, or gives back more than memory holds, must end nobody but its worker.

import type { OffloadOptions } from '../../worker/contract.ts'
import type { Offloader } from '../../worker/offload.ts'
import type { ChildBus } from './bus.ts'

export function offloadToHost(bus: ChildBus): Offloader {
  return {
    async run<T>(moduleUrl: string | URL, input: unknown, options: OffloadOptions = {}): Promise<T> {
      const answer = await bus.offload(String(moduleUrl), input, options.signal)
      if ('thrown' in answer) throw answer.thrown
      return answer.value as T
    },
    close: async () => {},
  }
}

export interface CountedOffloader extends Offloader {
  /** Some of its work is not done: its worker is not put to sleep. */
  readonly busy: boolean
}

export function counted(own: Offloader): CountedOffloader {
  let running = 0
  return {
    get busy() {
      return running > 0
    },
    async run<T>(moduleUrl: string | URL, input: unknown, options?: OffloadOptions): Promise<T> {
      running++
      try {
        return await own.run<T>(moduleUrl, input, options)
      } finally {
        running--
      }
    },
    close: () => own.close(),
  }
}
