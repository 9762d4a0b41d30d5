// Waiting for what a child or an emitter does, with a deadline and without sleeps: every wait ends in the event or in
// an error that says what was seen instead.
import type { EventEmitter } from 'node:events'
import type { Readable } from 'node:stream'

/** How much slower than a usual machine this one is: 1 unless $BYRE_TEST_SLOWNESS says more (an emulated one). */
export const SLOWNESS: number = Number(process.env['BYRE_TEST_SLOWNESS'] ?? 1)

/** Default deadline of every wait, ms: a swap of units took 20 s at a load of 15. Below the runner's own timeout. */
export const WAIT_MS: number = 60_000 * SLOWNESS

/** Rejects with `what` (and what `seen` tells) when `promise` has not settled after `timeoutMs`. */
export async function within<T>(
  promise: Promise<T>,
  what: string,
  timeoutMs: number = WAIT_MS,
  seen: () => string = () => '',
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${timeoutMs} ms for ${what}${seen()}`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The arguments of the next `name` event of `emitter`; an 'error' event in between rejects (unless it is the one waited for). */
export function nextEvent(
  emitter: EventEmitter,
  name: string,
  timeoutMs: number = WAIT_MS,
): Promise<unknown[]> {
  let off = (): void => {}
  const event = new Promise<unknown[]>((resolve, reject) => {
    const onEvent = (...args: unknown[]): void => resolve(args)
    const onError = (error: unknown): void => reject(error)
    emitter.once(name, onEvent)
    if (name !== 'error') emitter.once('error', onError)
    off = () => {
      emitter.off(name, onEvent)
      emitter.off('error', onError)
    }
  })
  return within(event, `event '${name}'`, timeoutMs).finally(() => off())
}

export interface Lines {
  /** Every complete line so far, without its newline. */
  readonly all: readonly string[]
  /** True once the stream has ended. */
  readonly ended: boolean
  /** The first line at or after the last one taken that matches; takes it. Rejects at the deadline or at the end of the stream. */
  next(match?: RegExp | string, timeoutMs?: number): Promise<string>
  /** All lines, once the stream has ended. */
  end(timeoutMs?: number): Promise<readonly string[]>
}

/** Reads `stream` as lines from now on. The stream is always drained, so a child never blocks on a full pipe. */
export function readLines(stream: Readable): Lines {
  const all: string[] = []
  let rest = ''
  let ended = false
  let taken = 0
  let wake: (() => void)[] = []
  const changed = (): void => {
    const waiting = wake
    wake = []
    for (const fn of waiting) fn()
  }
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    all.push(...parts)
    changed()
  })
  stream.resume() // also when it was paused before
  stream.once('close', () => {
    if (rest !== '') all.push(rest)
    ended = true
    changed()
  })
  const change = (): Promise<void> => new Promise((resolve) => wake.push(resolve))
  const seen = (): string => `; the last lines were\n${all.slice(-20).join('\n')}`
  const find = async (matches: (line: string) => boolean): Promise<string> => {
    for (;;) {
      while (taken < all.length) {
        const line = all[taken++]!
        if (matches(line)) return line
      }
      if (ended) throw new Error(`the stream ended without the line${seen()}`)
      await change()
    }
  }
  return {
    all,
    get ended() {
      return ended
    },
    next(match = '', timeoutMs = WAIT_MS) {
      const matches = (line: string): boolean =>
        typeof match === 'string' ? line.includes(match) : match.test(line)
      return within(find(matches), `a line with ${String(match)}`, timeoutMs, seen)
    },
    async end(timeoutMs = WAIT_MS) {
      const finish = async (): Promise<readonly string[]> => {
        while (!ended) await change()
        return all
      }
      return within(finish(), 'the end of the stream', timeoutMs, seen)
    },
  }
}

/**
 * Asks `check` until it gives a value; for kernel state that has no event (a file of /proc). Not for anything that can
 * be awaited. Rejects with `what` at the deadline.
 */
export async function eventually<T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs: number = WAIT_MS,
): Promise<T> {
  const endAt = performance.now() + timeoutMs
  for (;;) {
    const value = await check()
    if (value !== undefined && value !== false) return value
    if (performance.now() > endAt) throw new Error(`waited ${timeoutMs} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
