// One published message inside a bus: made once, shared by all its subscribers, opened by each for a copy of its own.

import { parse, stringify } from '../base/json.ts'
import type { Json } from '../base/json.ts'
import type { Envelope, Message, PublishOptions, RawDelivery } from './bus.ts'
import { encodeEnvelope } from './codec.ts'
import { joinReplyTopic } from './inbox.ts'

/** Immutable. As a RawDelivery it costs nothing more: the envelope's text is made only when somebody reads it. */
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

  /** A message with its own copy of the payload; `reply` is there when this packet is a request. */
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

/** Whether it never left this process. What crossed as JSON has no methods. */
export function isPacket(delivery: RawDelivery): delivery is Packet {
  return typeof (delivery as Partial<Packet>).open === 'function'
}

/** The packet of a decoded envelope that arrived under `topic`. */
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
