// Control over the bus: the commands of the socket, for every supervisor of the herd at once. Whoever may PUBLISH could
// stop workers, so messages are signed unless the config says otherwise.

import type { Clock } from '../../base/clock.ts'
import { isRecord } from '../../base/check.ts'
import { describeThrown } from '../../base/errors.ts'
import type { Json } from '../../base/json.ts'
import type { HostBus, Message } from '../../bus/bus.ts'
import type { Logger } from '../../log/logger.ts'
import type { ControlTarget } from '../status.ts'
import {
  MAX_MESSAGE_LENGTH,
  REPLY_ROOT,
  signedParts,
  signReply,
  splitMessage,
  WHOLE_HERD,
} from './fleet-message.ts'
import type { Member, Transport } from './fleet-message.ts'
import { parseCommand, refuse } from './message.ts'
import { countRefusals } from './refusals.ts'
import type { RefusalKind, Refusals } from './refusals.ts'
import { isSignature, Nonces, WINDOW_MS } from './signature.ts'

export interface FleetControlOptions {
  readonly bus: HostBus
  readonly herd: string
  readonly member: Member
  readonly target: ControlTarget
  /** Messages must be signed with it; undefined: they need not be. */
  readonly secret: string | undefined
  readonly log: Logger
  readonly clock: Clock
}

/** Answers control messages from now on; returns its release. */
export function startFleetControl(options: FleetControlOptions): () => void {
  const { bus, member, log } = options
  const leave = bus.members?.announce(member)
  const subscription = bus.subscribe('system.*.control', { buffer: 100 })
  const desk = new Desk(options, countRefusals(log))
  subscription.ready.catch((error: unknown) =>
    log.error({ event: 'control-deaf', ...describeThrown(error) }, 'control over the bus is not possible'),
  )
  void (async () => {
    for await (const message of subscription) await desk.take(message)
  })()
  return () => {
    leave?.()
    subscription.close()
  }
}

class Desk {
  readonly #options: FleetControlOptions
  readonly #refusals: Refusals
  readonly #nonces = new Nonces()

  constructor(options: FleetControlOptions, refusals: Refusals) {
    this.#options = options
    this.#refusals = refusals
  }

  /** Never rejects. */
  async take(message: Message): Promise<void> {
    try {
      const answer = await this.#decide(message)
      await this.#reply(message, answer)
    } catch (error) {
      this.#options.log.warn(
        { event: 'control-reply-lost', ...describeThrown(error) },
        'the reply to a control message could not be sent',
      )
    }
  }

  async #decide({ topic, payload }: Message): Promise<{ readonly id: string }> {
    const { herd, secret, target, clock } = this.#options
    const worker = topic.slice('system.'.length, -'.control'.length)
    if (!isRecord(payload)) return this.#refuse('bad-message', 400, '', 'it is no JSON object')
    if (JSON.stringify(payload).length > MAX_MESSAGE_LENGTH)
      return this.#refuse('body-too-large', 413, '', `it is longer than ${MAX_MESSAGE_LENGTH} characters`)
    const { transport, command } = splitMessage(payload)
    const id = typeof command['id'] === 'string' ? command['id'].slice(0, 128) : ''
    if (secret !== undefined) {
      const why = this.#distrust(secret, herd, worker, transport, command, clock.now())
      if (why !== undefined) return this.#refuse('not-signed', 400, id, why)
    }
    const parsed = parseCommand({ ...command, worker })
    if (!parsed.ok) {
      this.#refusals.note('bad-message', { topic })
      return parsed.body
    }
    if (worker === WHOLE_HERD) {
      if (parsed.command.action !== 'status')
        return this.#refuse('bad-message', 400, id, `the whole herd can be asked for its 'status' only`)
      return { v: 1, id, ok: true, status: await target.status() } as { id: string }
    }
    return target.act(parsed.command).body
  }

  /** Why the message is not believed. */
  #distrust(
    secret: string,
    herd: string,
    worker: string,
    transport: Transport,
    command: Record<string, unknown>,
    now: number,
  ): string | undefined {
    if (transport.sig === undefined) return 'it is not signed, and this herd has a control.secret'
    if (!isSignature(secret, signedParts(herd, worker, transport, command), transport.sig))
      return 'its signature is wrong'
    switch (this.#nonces.use(transport.nonce, transport.ts, now)) {
      case 'stale':
        return `it is stale: its time is more than ${WINDOW_MS / 1000} s from this host's clock`
      case 'replayed':
        return 'it was received before'
      case 'too-busy':
        return 'there are too many commands'
      case undefined:
        return undefined
    }
  }

  #refuse(kind: RefusalKind, status: 400 | 413, id: string, fact: string): { readonly id: string } {
    this.#refusals.note(kind, { fact })
    return refuse(status, id, fact).body
  }

  async #reply(message: Message, answer: { readonly id: string }): Promise<void> {
    const { bus, herd, member, secret } = this.#options
    const body = { ...answer, member }
    const reply = (secret === undefined ? body : signReply(secret, herd, body)) as unknown as Json
    const { payload } = message
    const replyTo = isRecord(payload) ? payload['replyTo'] : undefined
    if (message.reply !== undefined) await message.reply(reply)
    else if (typeof replyTo === 'string' && replyTo.startsWith(REPLY_ROOT))
      await bus.publishSystem(replyTo, reply)
  }
}
