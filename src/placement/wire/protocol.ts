// The protocol between the supervisor and a child (a thread or process that hosts one worker): lines of JSON, each an array
// whose first element is a tag. A message of the bus is embedded as the JSON that it is, so each end parses a line once.
//
// supervisor to child: init run abort level idle? heap? collect profile? heartbeat? | s(ubscribed) m(essage) k(ept message)
//   o(verflow) e(nd) g(ap) | r(esult) x (error)
// child to supervisor: hello loaded ready ended charged fault log lvl idle heap profile heartbeat child output | s(ubscribe)
//   u(nsubscribe) g(ot: acknowledges all up to a number) l(ost) | c(all) a(bort call)

import { stringify } from '../../base/json.ts'
import { isRecord } from '../../base/check.ts'
import { ByreError, describeThrown } from '../../base/errors.ts'
import type { ErrorCode } from '../../base/errors.ts'
import type { ResolvedWorker } from '../../config/types.ts'
import type { LogLevel } from '../../log/logger.ts'
import type { Wake } from '../../worker/contract.ts'
import type { Exit, Leftovers } from '../../herd/placement.ts'
import type { ProfileRequest, ProfileSource } from '../../herd/status.ts'

/** Both ends must come from the same installation: a child of another version (files replaced while the herd runs) is refused. */
export const WIRE_VERSION = 1

/** A line of the wire, parsed: its tag, then its values. */
export type WireLine = readonly [tag: string, ...values: unknown[]]

/** The first line that a child receives. */
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
  /** For the FIFOs of a thread. */
  readonly outputFolder: string
}

/** The request for a profile, with the folder and label of its file. */
export type ChildProfileRequest = ProfileRequest & Pick<ProfileSource, 'folder' | 'label'>

/** The final record of a child. */
export interface Ended {
  readonly exit: Exit
  readonly leftovers: Leftovers
}

/** Maximum length of a line, characters: a message with its envelope, or a log line, with some room. */
export function lineLimit(messageBytes: number): number {
  return Math.max(messageBytes + 32_768, 524_288)
}

/** One line: `tag`, then each value as JSON (undefined becomes null). */
export function line(tag: string, ...values: unknown[]): string {
  return stringify([tag, ...values])
}

/** An error on the wire: an error of byre keeps code and details, any other keeps name and message. */
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
  const message = String(packed.message ?? 'an error without a message')
  if (typeof packed.code === 'string')
    return new ByreError(
      packed.code as ErrorCode,
      message,
      packed.details === undefined ? {} : { details: packed.details },
    )
  return Object.assign(new Error(message), { name: String(packed.name ?? 'Error') })
}

const TEXT_MAX = 16_384

/** Shortens `text` so that it fits into a line: a worker may throw an error with a message of any size. */
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
