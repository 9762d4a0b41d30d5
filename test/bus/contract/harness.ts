// Helpers for the laws of the contract.
import type { Test } from 'tap'
import { WAIT_MS, within } from '../../helpers/events.ts'
import type { Bus, HostBus, Message, SubscribeOptions, Subscription } from '../../../src/bus/bus.ts'

/** Small limits keep the laws about limits fast. */
export const CONTRACT_LIMITS = { messageBytes: 4096, buffer: 8 } as const

export type Law = (t: Test, bus: HostBus) => Promise<void>

/** An acknowledged subscription with its iterator. */
export interface Reader {
  readonly sub: Subscription
  readonly next: () => Promise<IteratorResult<Message, unknown>>
  /** The next `n` messages; fails when the iteration ends earlier. */
  readonly take: (n: number) => Promise<Message[]>
}

export async function listen(bus: Bus, pattern: string, options?: SubscribeOptions): Promise<Reader> {
  const sub = bus.subscribe(pattern, options)
  const iterator = sub[Symbol.asyncIterator]()
  await within(sub.ready, `the subscription to '${pattern}' to be acknowledged`)
  const next = (): Promise<IteratorResult<Message, unknown>> => iterator.next()
  return {
    sub,
    next,
    async take(n) {
      const messages: Message[] = []
      while (messages.length < n) {
        const { value, done } = await within(
          next(),
          `message ${messages.length + 1} of ${n} on '${pattern}'`,
          WAIT_MS,
          () =>
            `; before it ${JSON.stringify(payloads(messages))}, dropped ${sub.dropped}, bus ${JSON.stringify((bus as Partial<HostBus>).health)}`,
        )
        if (done === true) throw new Error(`'${pattern}' ended after ${messages.length} of ${n} messages`)
        messages.push(value)
      }
      return messages
    },
  }
}

export function payloads(messages: readonly Message[]): unknown[] {
  return messages.map((m) => m.payload)
}

/** Resolves when all earlier messages of this bus were delivered to every subscription of this bus. */
export async function flush(bus: HostBus): Promise<void> {
  const marker = await listen(bus, 'contract.flush')
  await bus.publish('contract.flush', null)
  await marker.take(1)
  marker.sub.close()
}

/** Replies to each request on `topic` with its payload. Returns the payloads received so far, in order. */
export async function echo(bus: HostBus, topic: string): Promise<readonly unknown[]> {
  const served: unknown[] = []
  await serve(bus, topic, async (m) => {
    served.push(m.payload)
    await m.reply!(m.payload)
  })
  return served
}

/** Calls `answer` for every message of `topic` until the bus or scope closes. */
export async function serve(
  bus: Bus,
  topic: string,
  answer: (message: Message) => Promise<void>,
): Promise<void> {
  const { sub } = await listen(bus, topic, { buffer: 1000 })
  void (async () => {
    for await (const message of sub) await answer(message)
  })()
}
