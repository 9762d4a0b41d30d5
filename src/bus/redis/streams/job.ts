// A delivered job until it is acked or nacked.

import type { Json } from '../../../base/json.ts'
import { describeThrown } from '../../../base/errors.ts'
import type { Job, NackOptions } from '../../bus.ts'
import { MAX_DEPTH, nestsDeeper } from '../../codec.ts'
import { resolveNackOptions } from '../../stream-options.ts'

/** An entry of a Redis stream: its id, then alternating field names and values. */
export type Entry = readonly [id: string, fields: readonly string[]]

/** The reader that delivered a job. */
export interface JobSource {
  readonly stream: string
  finish(job: HeldJob, how: 'ack' | 'nack', reason?: string, delayMs?: number): Promise<void>
}

export class HeldJob implements Job {
  readonly entry: string
  readonly id: string
  readonly deliveries: number
  readonly dead?: { readonly group: string; readonly deliveries: number; readonly reason: string }
  payload: Json = null
  /** 'waiting' until it is yielded to the worker. */
  state: 'waiting' | 'working' | 'finished' = 'waiting'
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

  /** Parses the payload. Returns why it is malformed, or undefined. */
  open(limitBytes: number): string | undefined {
    const text = this.#text
    this.#text = undefined
    if (text === undefined) return "it has no field 'p' for the payload"
    if (text.length > limitBytes)
      return `its payload has ${text.length} characters, at most ${limitBytes} are allowed`
    if (text.length > 2 * MAX_DEPTH && nestsDeeper(text, MAX_DEPTH))
      return `its payload nests deeper than ${MAX_DEPTH} levels`
    try {
      this.payload = JSON.parse(text) as Json
      return undefined
    } catch (error) {
      return `its payload is not JSON: ${describeThrown(error).message.slice(0, 200)}`
    }
  }

  ack(): Promise<void> {
    if (this.#end === undefined) {
      this.state = 'finished'
      this.#end = this.#source.finish(this, 'ack')
    }
    return this.#end
  }

  nack(options?: NackOptions): Promise<void> {
    if (this.#end === undefined) {
      try {
        const { delayMs, reason } = resolveNackOptions(this.#source.stream, options)
        this.state = 'finished'
        this.#end = this.#source.finish(this, 'nack', reason, delayMs)
      } catch (error) {
        return Promise.reject(error)
      }
    }
    return this.#end
  }
}

/** The value of the first field with that name: dead-lettering prepends its fields to those of the job. */
function valueOf(fields: readonly string[], name: string): string | undefined {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === name) return fields[i + 1]
  return undefined
}
