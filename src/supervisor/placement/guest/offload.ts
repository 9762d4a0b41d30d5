// ctx.offload of a worker in a thread or a process: the herd has one pool of threads, the supervisor's, and the work goes
// there. Only what does not fit the wire is done by threads of this process's own.

import type { OffloadOptions } from '../../../worker/contract.ts'
import type { Offloader } from '../../../worker/offload.ts'
import { packClone, unpackClone } from '../wire/clone.ts'
import type { GuestBus } from './bus.ts'

/** The host's answer: a value, or what the module threw. */
export interface Offloaded {
  readonly value?: string
  readonly thrown?: string
}

/** `limit`: the most characters of input that go over the wire. */
export function createGuestOffloader(bus: GuestBus, limit: number, own: Offloader): Offloader {
  return {
    async run<T>(moduleUrl: string | URL, input: unknown, options: OffloadOptions = {}): Promise<T> {
      const packed = packable(input)
      if (packed === undefined || packed.length > limit) return own.run<T>(moduleUrl, input, options)
      const { value, thrown } = await bus.offload(String(moduleUrl), packed, options.signal)
      if (thrown !== undefined) throw unpackClone(thrown)
      return unpackClone(value as string) as T
    },
    close: () => own.close(),
  }
}

/** Undefined for what cannot leave this process, or be cloned at all: the own pool takes it, or says why not. */
function packable(input: unknown): string | undefined {
  try {
    return packClone(input)
  } catch {
    return undefined
  }
}
