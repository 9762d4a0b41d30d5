// Control over the bus: the commands of the socket, for every supervisor of the herd at once. Any client that may PUBLISH could
// stop workers, so messages are signed unless the config says otherwise.

import type { Clock } from '../base/clock.ts'
import { isRecord } from '../base/check.ts'
import { describeThrown } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import type { HostBus, Message } from '../bus/bus.ts'
import type { Logger } from '../log/logger.ts'
import type { ControlTarget } from '../herd/status.ts'
import { countRefusals } from './connection.ts'
import type { RefusalKind, Refusals } from './connection.ts'
import {
  isSignature,
  MAX_MESSAGE_LENGTH,
  Nonces,
  REPLY_ROOT,
  signedParts,
  signReply,
  TRANSPORT_KEYS,
  WHOLE_HERD,
  WINDOW_MS,
} from './fleet-message.ts'
import type { Member } from './fleet-message.ts'
import { parseCommand, refuse } from './message.ts'

export interface FleetControlOptions {
  readonly bus: HostBus
  readonly herd: string
  readonly member: Member
  readonly target: ControlTarget
  /** Secret with which messages must be signed; undefined if signatures are not required. */
  readonly secret: string | undefined
  readonly log: Logger
  readonly clock: Clock
}

/**
 * Answers control messages. Announces the member on the bus only after the subscription was acknowledged (event `fleet-control`),
 * so that every announced member can receive messages. Returns a function that ends it.
 */
export function startFleetControl(options: FleetControlOptions): () => void {
  const { bus, member, log } = options
  const subscription = bus.subscribe('system.*.control', { buffer: 100 })
  const control = new FleetControl(options, countRefusals(log))
  let released = false
  let leave: (() => void) | undefined
  const join = (): void => {
    leave = bus.members?.announce(member)
  }
  subscription.ready.then(
    () => {
      if (released) return
      join()
      log.info({ event: 'fleet-control', member }, 'answering control messages on the bus')
    },
    (error: unknown) => {
      if (released) return
      join() // still announced, so that its missing reply is noticed and reported
      log.error(
        { event: 'control-deaf', ...describeThrown(error) },
        'control over the bus is unavailable: the subscription failed',
      )
    },
  )
  void (async () => {
    for await (const message of subscription) await control.handle(message)
  })()
  return () => {
    released = true
    leave?.()
    subscription.close()
  }
}

class FleetControl {
  readonly #options: FleetControlOptions
  readonly #refusals: Refusals
  readonly #nonces = new Nonces()

  constructor(options: FleetControlOptions, refusals: Refusals) {
    this.#options = options
    this.#refusals = refusals
  }

  /** Never rejects. */
  async handle(message: Message): Promise<void> {
    try {
      const answer = this.#execute(message)
      await this.#reply(message, answer instanceof Promise ? await answer : answer)
    } catch (error) {
      this.#options.log.warn(
        { event: 'control-reply-lost', ...describeThrown(error) },
        'the reply to a control message could not be sent',
      )
    }
  }

  #execute({ topic, payload }: Message): Answer | Promise<Answer> {
    const { herd, secret, target, clock } = this.#options
    const worker = topic.slice('system.'.length, -'.control'.length)
    if (!isRecord(payload)) return this.#refuse('bad-message', 400, '', 'it is not a JSON object')
    if (isTooLong(payload))
      return this.#refuse('body-too-large', 413, '', `it is longer than ${MAX_MESSAGE_LENGTH} characters`)
    const id = typeof payload['id'] === 'string' ? payload['id'].slice(0, 128) : ''
    if (secret !== undefined) {
      const why = this.#verify(secret, herd, worker, payload, clock.now())
      if (why !== undefined) return this.#refuse('not-signed', 400, id, why)
    }
    const parsed = parseCommand(payload, { worker, keys: TRANSPORT_KEYS })
    if (!parsed.ok) {
      this.#refusals.note('bad-message', { topic })
      return parsed.body
    }
    if (worker === WHOLE_HERD) {
      if (parsed.command.action !== 'status')
        return this.#refuse('bad-message', 400, id, `only 'status' can be addressed to the whole herd`)
      return this.#status(id)
    }
    return target.act(parsed.command).body
  }

  /** Why the message is not authentic; undefined when it is. */
  #verify(
    secret: string,
    herd: string,
    worker: string,
    message: Record<string, unknown>,
    now: number,
  ): string | undefined {
    if (message['sig'] === undefined) return 'it is not signed, and this herd has a control.secret'
    if (!isSignature(secret, signedParts(herd, worker, message, message), message['sig']))
      return 'its signature is wrong'
    switch (this.#nonces.use(message['nonce'], message['ts'], now)) {
      case 'stale':
        return `it is stale: its time is more than ${WINDOW_MS / 1000} s from this host's clock`
      case 'replayed':
        return 'its nonce was used before, or is not valid'
      case 'too-busy':
        return 'there are too many commands at present'
      case undefined:
        return undefined
    }
  }

  async #status(id: string): Promise<Answer> {
    const answer = { v: 1, id, ok: true, status: await this.#options.target.status() }
    return answer
  }

  #refuse(kind: RefusalKind, status: 400 | 413, id: string, fact: string): Answer {
    this.#refusals.note(kind, { fact })
    return refuse(status, id, fact).body
  }

  #reply(message: Message, answer: Answer): Promise<void> | undefined {
    const { bus, herd, member, secret } = this.#options
    // `answer` was created for this message; a spread would cost 2 of the 25 microseconds of a round trip
    const body = Object.assign(answer, { member })
    const reply = (secret === undefined ? body : signReply(secret, herd, body)) as unknown as Json
    const { payload } = message
    const replyTo = isRecord(payload) ? payload['replyTo'] : undefined
    if (message.reply !== undefined) return message.reply(reply)
    return typeof replyTo === 'string' && replyTo.startsWith(REPLY_ROOT)
      ? bus.publishSystem(replyTo, reply)
      : undefined
  }
}

interface Answer {
  readonly id: string
}

/** Estimates the length; only a message with nested values is serialized to measure it. */
function isTooLong(payload: Record<string, unknown>): boolean {
  let length = 0
  for (const key of Object.keys(payload)) {
    const value = payload[key]
    if (typeof value === 'object' && value !== null)
      return JSON.stringify(payload).length > MAX_MESSAGE_LENGTH
    length += key.length + (typeof value === 'string' ? value.length : 0) + ENTRY_OVERHEAD
  }
  return length > MAX_MESSAGE_LENGTH
}

/** Quotes, colon and comma of an entry, and the longest number. */
const ENTRY_OVERHEAD = 30
