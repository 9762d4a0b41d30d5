// A published message inside a bus. It is created once and shared; each subscriber opens its own copy of the payload.

import { parse, stringify } from '../base/json.ts'
import type { Json } from '../base/json.ts'
import type { Envelope, Message, PublishOptions, RawDelivery } from './bus.ts'
import { encodeEnvelope } from './codec.ts'
import { joinReplyTopic } from './inbox.ts'

/** Immutable. As a RawDelivery it costs nothing extra: the envelope is encoded only when it is read. */
export class Packet implements RawDelivery {
  readonly id: string
  readonly topic: string
  readonly ts: number
  /** The payload as JSON text. */
  readonly body: string
  readonly replyTo: string | undefined
  readonly type: string | undefined
  readonly traceparent: string | undefined

  constructor(
    id: string,
    topic: string,
    ts: number,
    body: string,
    options: PublishOptions | undefined,
    replyTo: string | undefined,
  ) {
    this.id = id
    this.topic = topic
    this.ts = ts
    this.body = body
    this.replyTo = replyTo
    this.type = options?.type
    this.traceparent = options?.headers?.traceparent
  }

  get envelope(): string {
    return encodeEnvelope(this)
  }

  /** Creates a message with its own copy of the payload. Pass `reply` when this packet is a request. */
  open(reply: Message['reply']): Message {
    const message: Opened = {
      id: this.id,
      topic: this.topic,
      ts: this.ts,
      payload: parse(this.body) as Json,
    }
    if (this.type !== undefined) message.type = this.type
    if (this.traceparent !== undefined) message.headers = { traceparent: this.traceparent }
    if (reply !== undefined) message.reply = reply
    return message
  }
}

/** Whether the delivery is a packet of this process; a delivery that crossed a wire as JSON has no methods. */
export function isPacket(delivery: RawDelivery): delivery is Packet {
  return typeof (delivery as Partial<Packet>).open === 'function'
}

/** Creates a packet from a decoded envelope that arrived under `topic`. */
export function packetOf(topic: string, envelope: Envelope): Packet {
  return new Packet(
    envelope.id,
    topic,
    envelope.ts,
    stringify(envelope.payload),
    envelope,
    envelope.replyTo === undefined ? undefined : joinReplyTopic(envelope.replyTo, envelope.id),
  )
}

type Opened = { -readonly [K in keyof Message]: Message[K] }
