// Looks whether there are jobs, for a worker that is not there to read them: on each doorbell, when something is due, and
// by a slow poll. It takes none.

import type { Timer } from '../../../base/clock.ts'
import type { StreamWatch } from '../../bus.ts'
import { CLAIM_AFTER_MS } from '../../stream-options.ts'
import { describeFailure, isMoved, isRefusal } from '../errors.ts'
import type { StreamDeps } from './deps.ts'
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
  readonly #deps: StreamDeps
  readonly #options: WatchOptions
  #timer: Timer | undefined
  #looking = false
  #again = false
  #released = false
  /** How far the group had come when it was called last: no progress since, no call before the next doorbell or poll. */
  #calledAt: string | undefined

  constructor(deps: StreamDeps, options: WatchOptions) {
    this.#deps = deps
    this.#options = options
    this.ring()
  }

  ring(): void {
    this.#calledAt = undefined
    this.check()
  }

  check(): void {
    if (this.#released) return
    if (this.#looking) {
      this.#again = true
      return
    }
    void this.#deps.runDetached(() => this.#look())
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    this.#timer?.cancel()
    this.#options.onReleased()
  }

  async #look(): Promise<void> {
    const { clock, client, redact, leave, onEvent } = this.#deps
    const { stream, group, keys, wake } = this.#options
    const redis = client()
    let waitMs = POLL_MS
    this.#looking = true
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
      if (work === 1 && position !== this.#calledAt && !this.#released) {
        this.#calledAt = position
        wake()
      }
    } catch (error) {
      if (isMoved(error)) leave(describeFailure(error, redact))
      else if (isRefusal(error))
        onEvent({ event: 'bus-stream', stream, reason: describeFailure(error, redact) })
    } finally {
      this.#looking = false
      if (this.#again) this.check()
      else if (!this.#released) {
        this.#timer?.cancel()
        this.#timer = clock.setTimer(waitMs, () => this.ring())
      }
    }
  }
}

/** No such stream yet, or no such group. */
function isMissing(error: unknown): boolean {
  return error instanceof Error && /NOGROUP|no such key/i.test(error.message)
}

function ignoreBusy(error: unknown): void {
  if (!(error instanceof Error) || !error.message.startsWith('BUSYGROUP')) throw error
}
