// Control messages on the bus: their format for both ends, and their signature. A signature is an HMAC-SHA-256 with the herd's secret
// over everything that matters; the time must be recent and the nonce new.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { isRecord } from '../base/check.ts'
import type { Json } from '../base/json.ts'
import type { ControlAction, ControlOk, ControlRefused, SupervisorStatus } from '../herd/status.ts'

/** Used instead of a worker name to address every supervisor. Not a valid worker name. */
export const WHOLE_HERD = '_herd'
/** Replies are sent only to topics below this one and to the inbox of a request. */
export const REPLY_ROOT = 'system._reply.'
/** Longest control message, characters of JSON. */
export const MAX_MESSAGE_LENGTH = 16_384

/** Identifies one supervise process in replies and in the bus's list of members: `<host>/<group>/<pid>`. */
export type Member = string

export type FleetReply = (ControlOk | ControlRefused | FleetStatusReply) & { readonly member: Member }

export interface FleetStatusReply {
  readonly v: 1
  readonly id: string
  readonly ok: true
  readonly status: SupervisorStatus
}

/** The keys of a message that belong to its transport, not to the command. */
export const TRANSPORT_KEYS: readonly string[] = ['ts', 'nonce', 'sig', 'replyTo']

export interface Transport {
  readonly ts?: unknown
  readonly nonce?: unknown
  readonly sig?: unknown
  readonly replyTo?: unknown
}

/** A command without time, nonce and signature. */
export interface FleetCommand {
  readonly id: string
  readonly action: ControlAction
  readonly by: string
  readonly args?: Readonly<Record<string, unknown>> | undefined
}

/** The message to publish; signed when there is a secret. `ts` in ms since the epoch. */
export function commandMessage(
  herd: string,
  worker: string,
  { id, action, by, args }: FleetCommand,
  { ts, nonce, replyTo }: { readonly ts: number; readonly nonce: string; readonly replyTo: string },
  secret: string | undefined,
): Json {
  const sig =
    secret === undefined
      ? undefined
      : sign(secret, signedParts(herd, worker, { ts, nonce, replyTo }, { id, action, by, args }))
  // JSON omits the undefined keys
  return { v: 1, id, action, by, args, ts, nonce, replyTo, sig } as unknown as Json
}

/** The text that the signature of a command covers. For a received message the last two arguments are both the message itself. */
export function signedParts(
  herd: string,
  worker: string,
  { ts, nonce, replyTo }: Transport,
  { id, action, by, args }: Record<string, unknown>,
): unknown[] {
  return ['command', herd, worker, ts, nonce, replyTo ?? null, id, action, by, args ?? null]
}

export function signReply<T extends { readonly id: string; readonly member: Member }>(
  secret: string,
  herd: string,
  reply: T,
): T & { readonly sig: string } {
  return { ...reply, sig: sign(secret, ['reply', herd, reply]) }
}

/** The reply in `payload`; undefined unless it answers `id` and, with a secret, is signed. */
export function readReply(
  payload: unknown,
  id: string,
  herd: string,
  secret: string | undefined,
): FleetReply | undefined {
  if (!isRecord(payload) || payload['id'] !== id || typeof payload['member'] !== 'string') return undefined
  if (secret === undefined && payload['sig'] === undefined) return payload as unknown as FleetReply
  const { sig, ...reply } = payload
  if (secret !== undefined && !isSignature(secret, ['reply', herd, reply], sig)) return undefined
  return reply as unknown as FleetReply
}

/** A message this much older or newer than the receiver's clock is refused, milliseconds. */
export const WINDOW_MS = 30_000
/** Maximum number of nonces remembered; when there are more commands within the window, further ones are refused. */
export const MAX_NONCES = 10_000

export function sign(secret: string, parts: readonly unknown[]): string {
  return createHmac('sha256', secret).update(JSON.stringify(parts)).digest('base64url')
}

/** Compares in constant time. */
export function isSignature(secret: string, parts: readonly unknown[], signature: unknown): boolean {
  if (typeof signature !== 'string') return false
  const expected = Buffer.from(sign(secret, parts))
  const given = Buffer.from(signature)
  return given.length === expected.length && timingSafeEqual(given, expected)
}

/** Remembers nonces for as long as their messages are recent. */
export class Nonces {
  readonly #seen = new Map<string, number>()

  /** Returns why the message is refused; or undefined, and then its nonce is used up. `now` and `ts` in ms since the epoch. */
  use(nonce: unknown, ts: unknown, now: number): 'stale' | 'replayed' | 'too-busy' | undefined {
    if (typeof ts !== 'number' || !(Math.abs(now - ts) <= WINDOW_MS)) return 'stale'
    if (typeof nonce !== 'string' || nonce.length < 16 || nonce.length > 128) return 'replayed'
    if (this.#seen.has(nonce)) return 'replayed'
    // The oldest come first. Each is remembered until its message is certainly stale: `ts` may be WINDOW_MS ahead of the use.
    for (const [old, usedAt] of this.#seen) {
      if (Math.abs(now - usedAt) <= 2 * WINDOW_MS) break
      this.#seen.delete(old)
    }
    if (this.#seen.size >= MAX_NONCES) return 'too-busy'
    this.#seen.set(nonce, now)
    return undefined
  }
}
