// What a worker writes to stdout, stderr or console becomes its log lines. process.stdout of a worker is a stream of its own;
// `console` has one for the whole process, whose writes find their worker by async context.

import { Writable } from 'node:stream'
import { currentScope, runInScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

type Name = 'stdout' | 'stderr'
type Write = (chunk: string | Uint8Array, ...rest: unknown[]) => boolean

/** Replaces process.stdout and process.stderr; returns the undo. The streams of the process are not created before they are
 *  first asked for. */
export function captureOutput(): () => void {
  const undos = (['stdout', 'stderr'] as const).map((name) => capture(name))
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
    shared = (
      descriptor.get === undefined ? descriptor.value : descriptor.get.call(process)
    ) as NodeJS.WriteStream
    undoWrite = divertWrites(shared, name)
    // The global console keeps the stream that it finds first: it must not find that of a worker.
    void (console as unknown as Record<string, unknown>)[`_${name}`]
    return shared
  }
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get: () => {
      // Made outside every worker: the stream and its own listeners belong to the process.
      const stream = shared ?? runInScope(undefined, open)
      const scope = currentScope()
      return scope === undefined ? stream : streamOf(scope, name)
    },
  })
  return () => {
    undoWrite()
    Object.defineProperty(process, name, descriptor)
  }
}

function divertWrites(stream: NodeJS.WriteStream, name: Name): () => void {
  const host = stream as unknown as { write: Write }
  const { write } = host
  host.write = (chunk, ...rest) => {
    const scope = currentScope()
    return scope === undefined ? write.call(stream, chunk, ...rest) : writeAs(scope, name, chunk, rest)
  }
  return () => {
    host.write = write
  }
}

/** What the worker has ended itself takes no more; `console` ignores the error, as it ignores that of a closed pipe. */
function writeAs(scope: RunScope, name: Name, chunk: string | Uint8Array, rest: readonly unknown[]): boolean {
  const callback = rest.find((argument) => typeof argument === 'function') as
    | ((error: Error | null) => void)
    | undefined
  const ended = scope.streams?.[name]?.writableEnded === true
  if (!ended) scope.sink.output(name, chunk)
  const error = ended
    ? Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' })
    : null
  if (callback !== undefined) process.nextTick(callback, error)
  return !ended
}

function streamOf(scope: RunScope, name: Name): Writable {
  scope.streams ??= {}
  scope.streams[name] ??= new WorkerOutput(scope, name)
  return scope.streams[name]
}

/** As Node's own for a pipe: destroy() alone closes nothing (dummyDestroy in lib/internal/bootstrap/switches). */
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
    // A sibling may have got hold of it, through a console that was built on it.
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
