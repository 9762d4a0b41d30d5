// A message received from the network. It is parsed once on arrival, because it must be validated there. The first consumer
// gets the parsed payload; each later one parses its own copy from the text.

import type { Json } from '../../base/json.ts'
import type { Message } from '../bus.ts'
import { decodeEnvelope, encodeEnvelope } from '../codec.ts'
import { joinReplyTopic } from '../inbox.ts'
import type { Packet } from '../packet.ts'

/** Decodes a received message. Throws BYRE_CODEC_INVALID. */
export function readPacket(topic: string, text: string, limitBytes: number): Packet {
  const envelope = decodeEnvelope(text, limitBytes)
  return new WirePacket(topic, text, envelope)
}

type Envelope = ReturnType<typeof decodeEnvelope>

class WirePacket implements Packet {
  readonly id: string
  readonly topic: string
  readonly ts: number
  readonly replyTo: string | undefined
  readonly type: string | undefined
  readonly traceparent: string | undefined
  readonly #text: string
  readonly #wireReplyTo: string | undefined
  /** The parsed payload until a consumer takes it; then undefined, which is not JSON. */
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

  /** The received text; for a request it is encoded again with the reply topic used inside this process. */
  get envelope(): string {
    return this.replyTo === this.#wireReplyTo ? this.#text : encodeEnvelope(this)
  }

  get body(): string {
    return JSON.stringify(this.#payload())
  }

  /** Returns the payload for one consumer, which owns it. */
  #take(): Json {
    const payload = this.#fresh
    if (payload === undefined) return this.#payload()
    this.#fresh = undefined
    return payload
  }

  open(reply: Message['reply']): Message {
    const message: Opened = { id: this.id, topic: this.topic, ts: this.ts, payload: this.#take() }
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
