// Turns a worker's output on stdout, stderr and console into lines of its log. Each worker has separate streams as
// process.stdout and process.stderr; the global console, which is shared, finds them by async context.

import { Writable } from 'node:stream'
import { currentScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

type Name = 'stdout' | 'stderr'
type Callback = (error?: Error | null) => void
type Write = (...args: unknown[]) => boolean

/** Replaces process.stdout, process.stderr and the streams of the global console; returns the undo. The real streams of the
 *  process are created only when they are read outside every worker. */
export function captureOutput(): () => void {
  const undos = (['stdout', 'stderr'] as const).flatMap((name) => [capture(name), divertConsole(name)])
  return () => {
    for (const undo of undos) undo()
  }
}

function capture(name: Name): () => void {
  const descriptor = Object.getOwnPropertyDescriptor(process, name)
  if (descriptor === undefined) return () => {}
  let shared: NodeJS.WriteStream | undefined
  let undoWrite = (): void => {}
  const open = (): NodeJS.WriteStream => {
    const stream = (
      descriptor.get === undefined ? descriptor.value : descriptor.get.call(process)
    ) as NodeJS.WriteStream
    undoWrite = divertWrites(stream, name)
    return stream
  }
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get: () => {
      const scope = currentScope()
      return scope === undefined ? (shared ??= open()) : streamOf(scope, name)
    },
  })
  return () => {
    undoWrite()
    Object.defineProperty(process, name, descriptor)
  }
}

/** A worker may have a reference to the real stream of the process. */
function divertWrites(stream: NodeJS.WriteStream, name: Name): () => void {
  const host = stream as unknown as { write: Write }
  const { write } = host
  host.write = (...args) => {
    const scope = currentScope()
    return scope === undefined
      ? write.apply(stream, args)
      : streamOf(scope, name).write(...(args as [string]))
  }
  return () => {
    host.write = write
  }
}

/** The global console keeps the stream that it finds at its first line, which would be that of the worker that prints
 *  first. */
function divertConsole(name: Name): () => void {
  const host = console as unknown as Record<string, unknown>
  const property = `_${name}`
  const descriptor = Object.getOwnPropertyDescriptor(host, property)
  if (descriptor?.set === undefined) return () => {}
  const output = new ConsoleOutput(name)
  host[property] = output
  return () => {
    if (host[property] === output) host[property] = process[name]
  }
}

/** Writes to the stream of the worker in whose context it is called. */
class ConsoleOutput extends Writable {
  readonly #name: Name

  constructor(name: Name) {
    super({ decodeStrings: false })
    this.#name = name
  }

  get isTTY(): boolean {
    return process[this.#name].isTTY
  }

  getColorDepth(): number {
    return process[this.#name].getColorDepth?.() ?? 1
  }

  override write(chunk: unknown, ...rest: readonly unknown[]): boolean {
    const stream = process[this.#name]
    const callback = rest.find((argument) => typeof argument === 'function') as Callback | undefined
    const encoding = rest.find((argument) => typeof argument === 'string') as BufferEncoding | undefined
    return stream.write(chunk as string, encoding, (error) => {
      // Ignores errors of the stream, as console does. Node emits the error after this call.
      if (error instanceof Error && stream.listenerCount('error') === 0) stream.once('error', ignored)
      callback?.(error)
    })
  }
}

function ignored(): void {}

function streamOf(scope: RunScope, name: Name): Writable {
  scope.own.streams ??= {}
  scope.own.streams[name] ??= new WorkerOutput(scope, name)
  return scope.own.streams[name]
}

/** Like Node's stream for a pipe: destroy() closes nothing (dummyDestroy in lib/internal/bootstrap/switches). */
class WorkerOutput extends Writable {
  readonly fd: number
  readonly #scope: RunScope
  readonly #name: Name

  constructor(scope: RunScope, name: Name) {
    super({ decodeStrings: false })
    this.fd = name === 'stdout' ? 1 : 2
    this.#scope = scope
    this.#name = name
  }

  override _write(chunk: string | Uint8Array, encoding: BufferEncoding, done: () => void): void {
    const plain = typeof chunk !== 'string' || /^utf-?8$/i.test(encoding)
    // Another worker may have a reference to this stream, through a console that was built on it.
    const scope = currentScope() ?? this.#scope
    scope.sink.output(this.#name, plain ? chunk : Buffer.from(chunk, encoding))
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    done(error)
    if (!this.writableEnded) (this as unknown as { _undestroy(): void })._undestroy()
  }

  destroySoon(): void {
    this.destroy()
  }
}
