// One job between its delivery and its end.

import type { Json } from '../../../base/json.ts'
import { describeThrown } from '../../../base/errors.ts'
import type { Job, NackOptions } from '../../bus.ts'
import { MAX_DEPTH, nestsDeeper } from '../../codec.ts'
import { resolveNackOptions } from '../../stream-options.ts'

/** An entry of a Redis stream: its id, then fields and values in turn. */
export type Entry = readonly [id: string, fields: readonly string[]]

/** Who handed it out. */
export interface JobSource {
  readonly stream: string
  settled(job: HeldJob, how: 'ack' | 'nack', reason?: string, delayMs?: number): Promise<void>
}

export class HeldJob implements Job {
  readonly entry: string
  readonly id: string
  readonly deliveries: number
  readonly dead?: { readonly group: string; readonly deliveries: number; readonly reason: string }
  payload: Json = null
  /** 'waiting' until it is handed out. */
  state: 'waiting' | 'working' | 'settled' = 'waiting'
  readonly #source: JobSource
  #text: string | undefined
  #end: Promise<void> | undefined

  constructor([entry, fields]: Entry, deliveries: number, source: JobSource) {
    this.entry = entry
    this.deliveries = deliveries
    this.#source = source
    this.#text = valueOf(fields, 'p')
    this.id = valueOf(fields, 'i') ?? valueOf(fields, 'e') ?? entry
    const reason = valueOf(fields, 'r')
    if (reason !== undefined)
      this.dead = {
        group: valueOf(fields, 'g') ?? '',
        deliveries: Number(valueOf(fields, 'n') ?? '0'),
        reason,
      }
  }

  /** Reads the payload; why it cannot be read, or undefined. */
  open(limitBytes: number): string | undefined {
    const text = this.#text
    this.#text = undefined
    if (text === undefined) return "it has no field 'p' with its payload"
    if (text.length > limitBytes)
      return `its payload has ${text.length} characters, at most ${limitBytes} allowed`
    if (text.length > 2 * MAX_DEPTH && nestsDeeper(text, MAX_DEPTH))
      return `its payload nests deeper than ${MAX_DEPTH} levels`
    try {
      this.payload = JSON.parse(text) as Json
      return undefined
    } catch (error) {
      return `its payload is no JSON: ${describeThrown(error).message.slice(0, 200)}`
    }
  }

  ack(): Promise<void> {
    if (this.#end === undefined) {
      this.state = 'settled'
      this.#end = this.#source.settled(this, 'ack')
    }
    return this.#end
  }

  nack(options?: NackOptions): Promise<void> {
    if (this.#end === undefined) {
      try {
        const { delayMs, reason } = resolveNackOptions(this.#source.stream, options)
        this.state = 'settled'
        this.#end = this.#source.settled(this, 'nack', reason, delayMs)
      } catch (error) {
        return Promise.reject(error)
      }
    }
    return this.#end
  }
}

/** The first of that name: what a dead-letter stream put in front is its own. */
function valueOf(fields: readonly string[], name: string): string | undefined {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === name) return fields[i + 1]
  return undefined
}
