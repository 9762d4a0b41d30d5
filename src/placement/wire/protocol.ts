// What a supervisor and a worker in a thread or a process of its own say to each other: lines of JSON, each an array
// whose first element is a tag. Messages of the bus travel as the JSON they are, so that each side parses a line once.
//
// host to guest: init run abort level idle? heap? collect profile? beat? | s(ubscribed) m(essage) k(ept message) o(verflow) e(nd) g(ap) | r(esult) x (error)
// guest to host: hello loaded ready ended charged fault log lvl idle heap profile beat | s(ubscribe) u(nsubscribe) g(one) l(ost) | c(all) a(bort call)

import { stringify } from '../../base/json.ts'
import { isRecord } from '../../base/check.ts'
import { ByreError, describeThrown } from '../../base/errors.ts'
import type { ErrorCode } from '../../base/errors.ts'
import type { ResolvedWorker } from '../../config/types.ts'
import type { LogLevel } from '../../log/logger.ts'
import type { Wake } from '../../worker/contract.ts'
import type { Exit, Leftovers } from '../../herd/placement.ts'

/** Both ends come from one installation; a guest of another version (files replaced while the herd runs) is refused. */
export const WIRE_VERSION = 1

/** A line of the wire, parsed: its tag, then its values. */
export type WireLine = readonly [tag: string, ...values: unknown[]]

/** What a guest is told first. */
export interface Init {
  readonly v: typeof WIRE_VERSION
  readonly kind: 'thread' | 'process'
  readonly spec: ResolvedWorker
  readonly index: number
  readonly run: number
  readonly wake: Wake
  readonly fence?: number | undefined
  readonly level: LogLevel | 'silent'
  readonly messageBytes: number
  readonly buffer: number
  /** byre's own code lies below it. */
  readonly ownRoot: string
}

/** What a guest says last. */
export interface Ended {
  readonly exit: Exit
  readonly leftovers: Leftovers
}

/** Longest line a side takes, characters: a message with its envelope, or a log line with room to spare. */
export function lineLimit(messageBytes: number): number {
  return Math.max(messageBytes + 32_768, 524_288)
}

/** One line: `tag`, then each value as JSON (undefined becomes null). */
export function line(tag: string, ...values: unknown[]): string {
  return stringify([tag, ...values])
}

/** An error that crosses: byre's keep their code and details, of others name and message stay. */
export interface PackedError {
  readonly code?: string
  readonly name: string
  readonly message: string
  readonly details?: Readonly<Record<string, unknown>>
}

export function packError(error: unknown): PackedError {
  const { type, message } = describeThrown(error)
  if (!(error instanceof ByreError)) return { name: type, message: clip(message) }
  const packed = { name: type, message: clip(message), code: error.code }
  return error.details === undefined ? packed : { ...packed, details: error.details }
}

export function unpackError(value: unknown): Error {
  const packed = (isRecord(value) ? value : {}) as Partial<PackedError>
  const message = String(packed.message ?? 'an error that did not say what it was')
  if (typeof packed.code === 'string')
    return new ByreError(
      packed.code as ErrorCode,
      message,
      packed.details === undefined ? {} : { details: packed.details },
    )
  return Object.assign(new Error(message), { name: String(packed.name ?? 'Error') })
}

const TEXT_MAX = 16_384

/** A worker may throw an error with a message of any size; what it says of its end must fit into a line. */
export function clip(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}… (${text.length} characters)`
}

/** An exit with every text clipped. */
export function clipExit(exit: Exit): Exit {
  const evidence = Object.fromEntries(
    Object.entries(exit.evidence).map(([key, value]) => [
      key,
      typeof value === 'string' ? clip(value) : value,
    ]),
  )
  return { ...exit, text: clip(exit.text), evidence }
}
