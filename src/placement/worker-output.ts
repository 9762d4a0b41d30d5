// Writes what workers print to their log, with one bounded line splitter per worker that prints.

import type { Clock } from '../base/clock.ts'
import { createCapture } from '../log/capture.ts'
import type { Capture } from '../log/capture.ts'
import type { Logger } from '../log/logger.ts'

export interface Captures {
  write(worker: string, stream: 'stdout' | 'stderr', chunk: string | Uint8Array): void
  /** Called when its run has ended: logs the rest of an unfinished line and drops the splitter. */
  end(worker: string): void
}

export function createCaptures(logOf: (worker: string) => Logger, clock: Clock): Captures {
  const captures = new Map<string, Capture>()
  return {
    write(worker, stream, chunk) {
      let capture = captures.get(worker)
      if (capture === undefined) {
        capture = createCapture(logOf(worker), { clock })
        captures.set(worker, capture)
      }
      capture[stream].write(chunk)
    },
    end(worker) {
      captures.get(worker)?.end()
      captures.delete(worker)
    },
  }
}
