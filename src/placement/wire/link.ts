// One end of the wire: lines out in batches, one write per turn of the loop; text in, whole lines out of it. Who sends
// much asks `writable` first: the transport says when the other side does not keep up.

import { parse } from '../../base/json.ts'
import { ByreError, describeThrown } from '../../base/errors.ts'
import type { WireLine } from './protocol.ts'

/** What carries the text. Made by the thread or process side; both ends look alike. */
export interface Transport {
  /** Takes whole lines, each with its newline. False: the other side lags, wait for `drained`. Never throws. */
  write(text: string): boolean
  /** Sends a line by structured clone, for values that are no JSON; absent where nothing but text passes. Throws
   *  DataCloneError for what has no clone. */
  post?(line: WireLine): void
}

export interface LinkHandlers {
  readonly onLine: (line: WireLine) => void
  /** Why a line is not to be taken; for the side that does not trust the other. */
  readonly wrong?: (line: WireLine) => string | undefined
  /** The other side sent what it must not: no JSON array, a line longer than the limit, or a wrong one. Nothing more
   *  is read. */
  readonly onBroken: (error: ByreError) => void
  /** Called right before a batch goes out, for what is worth one line per turn. */
  readonly beforeFlush?: () => void
}

/** A batch of this size goes out at once instead of at the end of the turn. */
const BATCH_LENGTH = 65_536

// Taken at import: the supervisor wraps timers while it hosts workers.
const { setImmediate: hostSetImmediate } = globalThis

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

  /** False: the other side lags; what is sent all the same is kept. */
  get writable(): boolean {
    return this.#writable
  }

  /** Resolves once writable, and when closed. */
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

  /** Sends a line whose values are no JSON, in its place among the others. Throws DataCloneError for what has no clone. */
  post(values: WireLine): void {
    if (this.#closed) return
    if (this.#transport.post === undefined) throw new Error('only text passes this wire')
    this.flush()
    this.#transport.post(values)
  }

  /** Sees to it that a flush, and with it `beforeFlush`, happens at the end of this turn. */
  touch(): void {
    if (this.#scheduled || this.#closed) return
    this.#scheduled = true
    hostSetImmediate(() => {
      this.#scheduled = false
      this.flush()
    })
  }

  /** Writes what waits. */
  flush(): void {
    if (this.#closed || this.#flushing) return
    this.#flushing = true // what beforeFlush sends is of this batch, however long that is
    this.#handlers.beforeFlush?.()
    this.#flushing = false
    const text = this.#batch
    if (text === '') return
    this.#batch = ''
    if (!this.#transport.write(text)) this.#writable = false
  }

  /** For the transport: the other side caught up. */
  drained(): void {
    this.#writable = true
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  /** For the transport: text has arrived, cut anywhere. */
  receive(text: string): void {
    if (this.#closed) return
    // a long line is put together once, at its end, and not looked through again with each piece
    const whole = text.includes('\n')
    const lines = whole ? (this.#rest + text).split('\n') : []
    this.#rest = whole ? (lines.pop() ?? '') : this.#rest + text
    if (this.#rest.length > this.#lineMax) {
      this.#break(`a line is longer than ${this.#lineMax} characters`)
      return
    }
    for (const text of lines) if (!this.#take(text)) return
  }

  /** For the transport: a posted line has arrived. */
  receivePosted(posted: unknown): void {
    if (!this.#closed) this.#use(posted)
  }

  /** Nothing is sent or heard any more. Idempotent. */
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
    const wrong = this.#handlers.wrong?.(read)
    if (wrong !== undefined) return this.#break(wrong)
    this.#handlers.onLine(read)
    return true
  }

  #break(why: string): false {
    this.close()
    this.#handlers.onBroken(
      new ByreError('BYRE_CODEC_INVALID', `Cannot read what the other side of the wire sent: ${why}.`),
    )
    return false
  }
}
