// A control message on the bus, as both ends see it.

import { isRecord } from '../base/check.ts'
import type { Json } from '../base/json.ts'
import type { ControlAction, ControlOk, ControlRefused, SupervisorStatus } from '../herd/status.ts'
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

/** The keys of a message that belong to its transport; the others are the command. */
export const TRANSPORT_KEYS: readonly string[] = ['ts', 'nonce', 'sig', 'replyTo']

export interface Transport {
  readonly ts?: unknown
  readonly nonce?: unknown
  readonly sig?: unknown
  readonly replyTo?: unknown
}

/** A command before it has a time, a nonce and a signature. */
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
  // one literal: what is undefined JSON leaves out
  return { v: 1, id, action, by, args, ts, nonce, replyTo, sig } as unknown as Json
}

/** What the signature of a command covers. Of a message that came in both are the message itself. */
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

/** The reply in a payload, if it is one to `id`, and signed when there is a secret. */
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
