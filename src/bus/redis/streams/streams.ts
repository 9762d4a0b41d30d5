// Durable streams of one process, on the two connections the bus has anyway.

import { AsyncResource } from 'node:async_hooks'
import { hostname } from 'node:os'
import type { Clock } from '../../../base/clock.ts'
import type { Json } from '../../../base/json.ts'
import type { EnqueueOptions, StreamOptions, StreamWatch } from '../../bus.ts'
import type { JobIteration, StreamSource } from '../../carrier.ts'
import { encodePayload } from '../../codec.ts'
import { closedError } from '../../router.ts'
import { resolveEnqueueOptions, resolveStreamOptions } from '../../stream-options.ts'
import type { StreamDeps } from './deps.ts'
import { doorbellChannel, streamKeys } from './keys.ts'
import { StreamReader } from './reader.ts'
import { Watch } from './watch.ts'
import { StreamWriter } from './writer.ts'

export interface StreamsOptions extends Omit<StreamDeps, 'runDetached'> {
  readonly clock: Clock
  /** Differs between processes. */
  readonly token: string
  /** Subscribes to a channel of the server, reference-counted. Resolves when that is acknowledged. */
  readonly listen: (channel: string) => Promise<void>
  readonly unlisten: (channel: string) => void
}

/** Whoever wants to hear a doorbell. */
type Listener = (delayed: boolean) => void

export class Streams implements StreamSource {
  readonly #options: StreamsOptions
  readonly #deps: StreamDeps
  readonly #writer: StreamWriter
  readonly #readers = new Set<StreamReader>()
  readonly #watches = new Set<Watch>()
  readonly #listeners = new Map<string, Set<Listener>>()
  readonly #context = new AsyncResource('byre.streams')
  #lastReader = 0
  #closed = false

  constructor(options: StreamsOptions) {
    this.#options = options
    this.#deps = { ...options, runDetached: (fn) => this.#context.runInAsyncScope(fn) }
    this.#writer = new StreamWriter(this.#deps, `d-${options.token}-`)
  }

  /** Jobs that wait to be accepted. */
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
    const onDoorbell: Listener = (delayed) => reader.ring(delayed)
    const reader: StreamReader = new StreamReader(this.#deps, {
      stream,
      keys,
      consumer,
      reads,
      handing,
      onGone: () => {
        this.#readers.delete(reader)
        this.#unhear(stream, onDoorbell)
      },
    })
    this.#readers.add(reader)
    this.#hear(stream, onDoorbell)
    return reader
  }

  watch(stream: string, group: string, wake: () => void): StreamWatch {
    const keys = streamKeys(this.#options.herd, stream)
    const onDoorbell: Listener = () => watch.ring()
    const onReleased = (): void => {
      this.#watches.delete(watch)
      this.#unhear(stream, onDoorbell)
    }
    const watch: Watch = new Watch(this.#deps, { stream, group, keys, wake, onReleased })
    this.#watches.add(watch)
    this.#hear(stream, onDoorbell)
    return watch
  }

  /** A message on a channel that is no topic. */
  ring(channel: string, text: string): void {
    const listeners = this.#listeners.get(channel)
    if (listeners !== undefined) for (const listener of listeners) listener(text === 'delayed')
  }

  /** The command connection is there, again. */
  connected(): void {
    this.#writer.pump()
    for (const reader of this.#readers) reader.connected()
    for (const watch of this.#watches) watch.ring()
  }

  /** The subscriber connection is there, again: doorbells may have been missed. */
  listening(): void {
    for (const reader of this.#readers) reader.ring(true)
    for (const watch of this.#watches) watch.ring()
  }

  /** Resolves when what readers held was given back. */
  async close(): Promise<void> {
    this.#closed = true
    for (const watch of this.#watches) watch.release()
    this.#writer.pump()
    this.#writer.close((stream) => closedError('enqueue to', stream))
    await Promise.all([...this.#readers].map((reader) => reader.close()))
  }

  #hear(stream: string, listener: Listener): void {
    const channel = doorbellChannel(this.#options.herd, stream)
    const listeners = this.#listeners.get(channel) ?? new Set()
    this.#listeners.set(channel, listeners.add(listener))
    this.#options.listen(channel).then(
      () => listener(true), // what was rung before nobody heard
      () => {}, // refused, and told: the poll finds it
    )
  }

  #unhear(stream: string, listener: Listener): void {
    const channel = doorbellChannel(this.#options.herd, stream)
    const listeners = this.#listeners.get(channel)
    if (listeners?.delete(listener) !== true) return
    if (listeners.size === 0) this.#listeners.delete(channel)
    this.#options.unlisten(channel)
  }
}
