// A control message on the bus, as both ends see it.

import { isRecord } from '../../base/check.ts'
import type { ControlOk, ControlRefused, SupervisorStatus } from '../status.ts'
import { isSignature, sign } from './signature.ts'

/** In the place of a worker: every supervisor is asked about itself. No worker can be called so. */
export const WHOLE_HERD = '_herd'
/** Replies may go below here, and to the inbox of a request, and nowhere else. */
export const REPLY_ROOT = 'system._reply.'
/** Longest control message, characters of JSON. */
export const MAX_MESSAGE_LENGTH = 16_384

/** One supervise process, in replies and in the register of who is there: `<host>/<group>/<pid>`. */
export type Member = string

export type FleetReply = (ControlOk | ControlRefused | FleetStatusReply) & { readonly member: Member }

export interface FleetStatusReply {
  readonly v: 1
  readonly id: string
  readonly ok: true
  readonly status: SupervisorStatus
}

/** The keys of a message that belong to its transport. */
export interface Transport {
  readonly ts?: unknown
  readonly nonce?: unknown
  readonly sig?: unknown
  readonly replyTo?: unknown
}

/** The rest of a message, which is the command. */
export function splitMessage(message: Record<string, unknown>): {
  readonly transport: Transport
  readonly command: Record<string, unknown>
} {
  const { ts, nonce, sig, replyTo, ...command } = message
  return { transport: { ts, nonce, sig, replyTo }, command }
}

/** What the signature of a command covers. */
export function signedParts(
  herd: string,
  worker: string,
  { ts, nonce, replyTo }: Transport,
  command: Record<string, unknown>,
): unknown[] {
  const { id, action, by, args } = command
  return ['command', herd, worker, ts, nonce, replyTo ?? null, id, action, by, args ?? null]
}

export function signReply<T extends { readonly id: string; readonly member: Member }>(
  secret: string,
  herd: string,
  reply: T,
): T & { readonly sig: string } {
  return { ...reply, sig: sign(secret, ['reply', herd, reply]) }
}

/** The reply in a payload, if it is one to `id`, and signed when there is a secret. */
export function readReply(
  payload: unknown,
  id: string,
  herd: string,
  secret: string | undefined,
): FleetReply | undefined {
  if (!isRecord(payload)) return undefined
  const { sig, ...reply } = payload
  if (reply['id'] !== id || typeof reply['member'] !== 'string') return undefined
  if (secret !== undefined && !isSignature(secret, ['reply', herd, reply], sig)) return undefined
  return reply as unknown as FleetReply
}
