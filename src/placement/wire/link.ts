// One end of the wire. It writes lines in batches, one write per turn of the loop, and assembles received text into lines. A
// sender of many lines checks `writable` first: it is false while the other end lags.

import { parse } from '../../base/json.ts'
import { ByreError, describeThrown } from '../../base/errors.ts'
import { runOutside } from '../../base/outside.ts'
import type { WireLine } from './protocol.ts'

/** Carries the text of one end. */
export interface Transport {
  /** Accepts whole lines, each with its newline. Returns false when the other end lags: wait for `drained`. Never throws. */
  write(text: string): boolean
  /** Sends a line by structured clone, for values that JSON cannot represent; absent where only text can be sent. Throws
   *  DataCloneError if a value cannot be cloned. */
  post?(line: WireLine): void
}

export interface LinkHandlers {
  readonly onLine: (line: WireLine) => void
  /** Returns why a line is refused, or undefined; used by the end that does not trust the other. */
  readonly whyInvalid?: (line: WireLine) => string | undefined
  /** The other end sent a line that is not a JSON array, is too long, or is invalid. Nothing more is read. */
  readonly onBroken: (error: ByreError) => void
  /** Called right before a batch is written, for lines that are sent once per turn. */
  readonly beforeFlush?: () => void
}

/** A batch of this size is written at once instead of at the end of the turn. */
const BATCH_LENGTH = 65_536

// Captured at import: the supervisor wraps timers while it hosts workers.
const { setImmediate: nodeSetImmediate } = globalThis

export class Link {
  readonly #transport: Transport
  readonly #handlers: LinkHandlers
  readonly #lineMax: number
  #batch = ''
  #scheduled = false
  #flushing = false
  #closed = false
  #writable = true
  #waiting: (() => void)[] = []
  #rest = ''

  constructor(transport: Transport, lineMax: number, handlers: LinkHandlers) {
    this.#transport = transport
    this.#lineMax = lineMax
    this.#handlers = handlers
  }

  /** Returns false while the other end lags; lines sent meanwhile are buffered. */
  get writable(): boolean {
    return this.#writable
  }

  /** Resolves when writable or closed. */
  async whenWritable(): Promise<void> {
    if (this.#writable || this.#closed) return
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Sends one line (JSON without a newline). Ignored once closed. */
  send(text: string): void {
    if (this.#closed) return
    this.#batch += text
    this.#batch += '\n'
    if (this.#batch.length >= BATCH_LENGTH) this.flush()
    else this.touch()
  }

  /** Sends a line by structured clone, in order with the other lines. Throws DataCloneError if a value cannot be cloned. */
  post(values: WireLine): void {
    if (this.#closed) return
    if (this.#transport.post === undefined) throw new Error('this wire carries text only')
    this.flush()
    this.#transport.post(values)
  }

  /** Schedules a flush, and with it `beforeFlush`, for the end of this turn. */
  touch(): void {
    if (this.#scheduled || this.#closed) return
    this.#scheduled = true
    runOutside(() =>
      nodeSetImmediate(() => {
        this.#scheduled = false
        this.flush()
      }),
    )
  }

  /** Writes the batch. */
  flush(): void {
    if (this.#closed || this.#flushing) return
    this.#flushing = true // lines sent by beforeFlush belong to this batch, whatever its length
    this.#handlers.beforeFlush?.()
    this.#flushing = false
    const text = this.#batch
    if (text === '') return
    this.#batch = ''
    if (!this.#transport.write(text)) this.#writable = false
  }

  /** Called by the transport: the other end has caught up. */
  drained(): void {
    this.#writable = true
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  /** Called by the transport: text has arrived, split anywhere. */
  receive(text: string): void {
    if (this.#closed) return
    // a long line is assembled once, at its end, and not searched again with each piece
    const whole = text.includes('\n')
    const lines = whole ? (this.#rest + text).split('\n') : []
    this.#rest = whole ? (lines.pop() ?? '') : this.#rest + text
    if (this.#rest.length > this.#lineMax) {
      this.#break(`a line is longer than ${this.#lineMax} characters`)
      return
    }
    for (const text of lines) if (!this.#take(text)) return
  }

  /** Called by the transport: a posted line has arrived. */
  receivePosted(posted: unknown): void {
    if (!this.#closed) this.#use(posted)
  }

  /** Nothing is sent or received any more. Idempotent. */
  close(): void {
    this.#closed = true
    this.#batch = this.#rest = ''
    this.drained()
  }

  #take(text: string): boolean {
    if (this.#closed) return false
    if (text.length > this.#lineMax) return this.#break(`a line has ${text.length} characters`)
    let parsed: unknown
    try {
      parsed = parse(text)
    } catch (error) {
      return this.#break(describeThrown(error).message.slice(0, 200))
    }
    return this.#use(parsed)
  }

  #use(parsed: unknown): boolean {
    if (!Array.isArray(parsed) || typeof parsed[0] !== 'string')
      return this.#break('a line is not an array with a tag')
    const read = parsed as unknown as WireLine
    const invalid = this.#handlers.whyInvalid?.(read)
    if (invalid !== undefined) return this.#break(invalid)
    this.#handlers.onLine(read)
    return true
  }

  #break(why: string): false {
    this.close()
    this.#handlers.onBroken(
      new ByreError('BYRE_CODEC_INVALID', `Cannot read from the other end of the wire: ${why}.`),
    )
    return false
  }
}
