// A message that came in over the network: parsed once on arrival, since it must be judged there anyway. The first
// consumer gets that parse, every later one a copy of its own from the text.

import type { Json } from '../../base/json.ts'
import type { Message } from '../bus.ts'
import { decodeEnvelope, encodeEnvelope } from '../codec.ts'
import { joinReplyTopic } from '../inbox.ts'
import type { Packet } from '../packet.ts'

/** Throws BYRE_CODEC_INVALID. The result is a Packet in all that a bus and its subscriptions do with one. */
export function readPacket(topic: string, text: string, limitBytes: number): WirePacket {
  const envelope = decodeEnvelope(text, limitBytes)
  return new WirePacket(topic, text, envelope)
}

type Envelope = ReturnType<typeof decodeEnvelope>

export class WirePacket implements Packet {
  readonly id: string
  readonly topic: string
  readonly ts: number
  readonly replyTo: string | undefined
  readonly type: string | undefined
  readonly traceparent: string | undefined
  readonly #text: string
  readonly #wireReplyTo: string | undefined
  /** The payload until somebody takes it; undefined is not JSON. */
  #fresh: Json | undefined

  constructor(topic: string, text: string, envelope: Envelope) {
    this.id = envelope.id
    this.topic = topic
    this.ts = envelope.ts
    this.#text = text
    this.#wireReplyTo = envelope.replyTo
    this.replyTo = envelope.replyTo === undefined ? undefined : joinReplyTopic(envelope.replyTo, envelope.id)
    this.type = envelope.type
    this.traceparent = envelope.headers?.traceparent
    this.#fresh = envelope.payload
  }

  /** As it came; of a request with the topic its reply goes to inside a process. */
  get envelope(): string {
    return this.replyTo === this.#wireReplyTo ? this.#text : encodeEnvelope(this)
  }

  get body(): string {
    return JSON.stringify(this.#payload())
  }

  /** Keeps the text only: what waits for a dormant worker may wait long. */
  settle(): void {
    this.#fresh = undefined
  }

  /** The payload for one consumer, its own. */
  take(): Json {
    const payload = this.#fresh
    if (payload === undefined) return this.#payload()
    this.#fresh = undefined
    return payload
  }

  open(reply: Message['reply']): Message {
    const message: Opened = { id: this.id, topic: this.topic, ts: this.ts, payload: this.take() }
    if (this.type !== undefined) message.type = this.type
    if (this.traceparent !== undefined) message.headers = { traceparent: this.traceparent }
    if (reply !== undefined) message.reply = reply
    return message
  }

  #payload(): Json {
    return (JSON.parse(this.#text) as { payload: Json }).payload
  }
}

type Opened = { -readonly [K in keyof Message]: Message[K] }
