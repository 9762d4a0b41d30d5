// Watches a stream on behalf of a dormant worker: it checks for jobs at each doorbell, when a job becomes due, and by a slow
// poll. It takes no jobs.

import type { Timer } from '../../../base/clock.ts'
import type { StreamWatch } from '../../bus.ts'
import { CLAIM_AFTER_MS } from '../../stream-options.ts'
import { describeFailure, isMoved, isRefusal } from '../errors.ts'
import type { StreamContext } from './context.ts'
import type { StreamKeys } from './keys.ts'
import { POLL_MS } from './reader.ts'
import { PEEK, runScript } from './scripts.ts'

export interface WatchOptions {
  readonly stream: string
  readonly group: string
  readonly keys: StreamKeys
  readonly wake: () => void
  readonly onReleased: () => void
}

export class Watch implements StreamWatch {
  readonly #context: StreamContext
  readonly #options: WatchOptions
  #timer: Timer | undefined
  #checking = false
  #again = false
  #released = false
  /** The group's position at the last `wake`. While it is unchanged, `wake` is not called before the next doorbell or poll. */
  #wokenAt: string | undefined

  constructor(context: StreamContext, options: WatchOptions) {
    this.#context = context
    this.#options = options
    this.onDoorbell()
  }

  onDoorbell(): void {
    this.#wokenAt = undefined
    this.check()
  }

  check(): void {
    if (this.#released) return
    if (this.#checking) {
      this.#again = true
      return
    }
    void this.#context.runDetached(() => this.#peek())
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    this.#timer?.cancel()
    this.#options.onReleased()
  }

  async #peek(): Promise<void> {
    const { clock, client, redact, leave, onEvent } = this.#context
    const { stream, group, keys, wake } = this.#options
    const redis = client()
    let waitMs = POLL_MS
    this.#checking = true
    this.#again = false
    try {
      if (redis === undefined) return
      const names = [keys.jobs, keys.delayed, keys.retry(group)]
      const answer = await runScript(redis, PEEK, names, [group, CLAIM_AFTER_MS]).catch(
        async (error: unknown) => {
          if (!isMissing(error)) throw error
          await redis.xgroup('CREATE', keys.jobs, group, '0', 'MKSTREAM').catch(ignoreBusy)
          return runScript(redis, PEEK, names, [group, CLAIM_AFTER_MS])
        },
      )
      const [work, position, dueMs] = answer as [number, string, number]
      if (dueMs >= 0) waitMs = Math.min(POLL_MS, Math.max(10, dueMs))
      if (work === 1 && position !== this.#wokenAt && !this.#released) {
        this.#wokenAt = position
        wake()
      }
    } catch (error) {
      if (isMoved(error)) leave(describeFailure(error, redact))
      else if (isRefusal(error))
        onEvent({ event: 'bus-stream', stream, reason: describeFailure(error, redact) })
    } finally {
      this.#checking = false
      if (this.#again) this.check()
      else if (!this.#released) {
        this.#timer?.cancel()
        this.#timer = clock.setTimer(waitMs, () => this.onDoorbell())
      }
    }
  }
}

/** Whether the stream or the group does not exist yet. */
function isMissing(error: unknown): boolean {
  return error instanceof Error && /NOGROUP|no such key/i.test(error.message)
}

function ignoreBusy(error: unknown): void {
  if (!(error instanceof Error) || !error.message.startsWith('BUSYGROUP')) throw error
}
