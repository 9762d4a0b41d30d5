// The durable streams of one process. They use the two connections of the bus and open none.

import { AsyncResource } from 'node:async_hooks'
import { hostname } from 'node:os'

import type { Json } from '../../../base/json.ts'
import type { EnqueueOptions, StreamOptions, StreamWatch } from '../../bus.ts'
import type { JobIteration, StreamSource } from '../../carrier.ts'
import { encodePayload } from '../../codec.ts'
import { closedError } from '../../router.ts'
import { resolveEnqueueOptions, resolveStreamOptions } from '../../stream-options.ts'
import type { StreamContext } from './context.ts'
import { doorbellChannel, streamKeys } from './keys.ts'
import { StreamReader } from './reader.ts'
import { Watch } from './watch.ts'
import { StreamWriter } from './writer.ts'

export interface StreamsOptions extends Omit<StreamContext, 'runDetached'> {
  /** Unique to this process. */
  readonly token: string
  /** Subscribes to a channel of the server, with reference counting. Resolves when the server acknowledged it. */
  readonly listen: (channel: string) => Promise<void>
  readonly unlisten: (channel: string) => void
}

/** A listener for the doorbell messages of a stream. */
type Listener = (delayed: boolean) => void

export class Streams implements StreamSource {
  readonly #options: StreamsOptions
  readonly #context: StreamContext
  readonly #writer: StreamWriter
  readonly #readers = new Set<StreamReader>()
  readonly #watches = new Set<Watch>()
  readonly #listeners = new Map<string, Set<Listener>>()
  readonly #detached = new AsyncResource('byre.streams')
  #lastReader = 0
  #closed = false

  constructor(options: StreamsOptions) {
    this.#options = options
    this.#context = { ...options, runDetached: (fn) => this.#detached.runInAsyncScope(fn) }
    this.#writer = new StreamWriter(this.#context, `d-${options.token}-`)
  }

  /** Enqueued jobs that the server has not accepted yet. */
  get unsent(): number {
    return this.#writer.size
  }

  enqueue(stream: string, payload: Json, options: EnqueueOptions | undefined): Promise<string> {
    try {
      const resolved = resolveEnqueueOptions(stream, options)
      if (this.#closed) throw closedError('enqueue to', stream)
      const body = encodePayload(payload, this.#options.messageBytes, stream)
      return this.#writer.enqueue(stream, body, resolved)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  open(
    owner: string | undefined,
    stream: string,
    options: StreamOptions | undefined,
    handing: () => void,
  ): JobIteration {
    const { herd, token } = this.#options
    const reads = resolveStreamOptions(stream, options, owner ?? herd)
    if (this.#closed) throw closedError('read stream', stream)
    const keys = streamKeys(herd, stream)
    const consumer = `${hostname()}:${process.pid}:${token}:${++this.#lastReader}`
    const onDoorbell: Listener = (delayed) => reader.onDoorbell(delayed)
    const reader: StreamReader = new StreamReader(this.#context, {
      stream,
      keys,
      consumer,
      reads,
      handing,
      onGone: () => {
        this.#readers.delete(reader)
        this.#unlisten(stream, onDoorbell)
      },
    })
    this.#readers.add(reader)
    this.#listen(stream, onDoorbell)
    return reader
  }

  watch(stream: string, group: string, wake: () => void): StreamWatch {
    const keys = streamKeys(this.#options.herd, stream)
    const onDoorbell: Listener = () => watch.onDoorbell()
    const onReleased = (): void => {
      this.#watches.delete(watch)
      this.#unlisten(stream, onDoorbell)
    }
    const watch: Watch = new Watch(this.#context, { stream, group, keys, wake, onReleased })
    this.#watches.add(watch)
    this.#listen(stream, onDoorbell)
    return watch
  }

  /** Called for each message on a channel outside the herd's topics. */
  onDoorbell(channel: string, text: string): void {
    const listeners = this.#listeners.get(channel)
    if (listeners !== undefined) for (const listener of listeners) listener(text === 'delayed')
  }

  /** Called for each new command connection. */
  connected(): void {
    this.#writer.pump()
    for (const reader of this.#readers) reader.connected()
    for (const watch of this.#watches) watch.onDoorbell()
  }

  /** Called for each new subscriber connection, because doorbells may have been missed. */
  listening(): void {
    for (const reader of this.#readers) reader.onDoorbell(true)
    for (const watch of this.#watches) watch.onDoorbell()
  }

  /** Resolves when the readers have released their jobs. */
  async close(): Promise<void> {
    this.#closed = true
    for (const watch of this.#watches) watch.release()
    this.#writer.pump()
    this.#writer.close((stream) => closedError('enqueue to', stream))
    await Promise.all([...this.#readers].map((reader) => reader.close()))
  }

  #listen(stream: string, listener: Listener): void {
    const channel = doorbellChannel(this.#options.herd, stream)
    const listeners = this.#listeners.get(channel) ?? new Set()
    this.#listeners.set(channel, listeners.add(listener))
    this.#options.listen(channel).then(
      () => listener(true), // doorbells sent before the subscription were missed
      () => {}, // the refusal is reported, and the poll finds the jobs
    )
  }

  #unlisten(stream: string, listener: Listener): void {
    const channel = doorbellChannel(this.#options.herd, stream)
    const listeners = this.#listeners.get(channel)
    if (listeners?.delete(listener) !== true) return
    if (listeners.size === 0) this.#listeners.delete(channel)
    this.#options.unlisten(channel)
  }
}
