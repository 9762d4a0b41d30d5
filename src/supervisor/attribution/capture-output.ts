// What a worker writes to stdout, stderr or console becomes its log lines, by async context.

import { currentScope, runInScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

type Callback = (error: Error | null) => void
type Name = 'stdout' | 'stderr'
type Method = (...args: unknown[]) => unknown

/** Redirects what workers write to process.stdout and process.stderr to their scope; returns its undo. The streams are
 *  not created before they are first asked for. */
export function captureOutput(): () => void {
  const undos = (['stdout', 'stderr'] as const).map((name) => {
    const descriptor = Object.getOwnPropertyDescriptor(process, name)
    if (descriptor === undefined) return () => {}
    let undoMethods: (() => void) | undefined
    let stream: NodeJS.WriteStream | undefined
    Object.defineProperty(process, name, {
      configurable: true,
      enumerable: true,
      get: () => {
        if (stream === undefined) {
          // Made outside every worker: the stream and its own listeners belong to the process.
          stream = runInScope(undefined, () =>
            descriptor.get === undefined ? descriptor.value : descriptor.get.call(process),
          ) as NodeJS.WriteStream
          undoMethods = replaceMethods(stream, name)
        }
        return stream
      },
    })
    return () => {
      undoMethods?.()
      Object.defineProperty(process, name, descriptor)
    }
  })
  return () => {
    for (const undo of undos) undo()
  }
}

/** In a worker's context `write`, `end` and `destroy` concern the worker's output alone. */
function replaceMethods(stream: NodeJS.WriteStream, name: Name): () => void {
  const host = stream as unknown as Record<string, Method>
  const instead: Record<string, (scope: RunScope, args: readonly unknown[]) => unknown> = {
    write: (scope, args) => write(scope, name, args),
    end(scope, args) {
      const [chunk] = args
      if (chunk !== undefined && chunk !== null && typeof chunk !== 'function') write(scope, name, [chunk])
      endStream(scope, name)
      callLater(args, null)
      return stream
    },
    destroy(scope) {
      endStream(scope, name)
      return stream
    },
    destroySoon: (scope) => endStream(scope, name),
  }
  const undos = Object.entries(instead).map(([method, forWorker]) => {
    const own = Object.getOwnPropertyDescriptor(host, method)
    const original = host[method]
    if (original === undefined) return () => {}
    host[method] = (...args: unknown[]) => {
      const scope = currentScope()
      return scope === undefined ? original.apply(stream, args) : forWorker(scope, args)
    }
    return () => {
      if (own === undefined) delete host[method]
      else Object.defineProperty(host, method, own)
    }
  })
  return () => {
    for (const undo of undos) undo()
  }
}

function write(scope: RunScope, name: Name, args: readonly unknown[]): boolean {
  const [chunk, encoding] = args
  if (scope.endedStreams?.has(name) === true) {
    callLater(args, Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' }))
    return false
  }
  scope.sink.output(name, decode(chunk, encoding))
  callLater(args, null)
  return true
}

/** Throws what Node throws for a chunk that is neither. */
function decode(chunk: unknown, encoding: unknown): string | Uint8Array {
  if (chunk instanceof Uint8Array) return chunk
  if (typeof chunk !== 'string')
    throw Object.assign(
      new TypeError(
        `The "chunk" argument must be of type string or an instance of Buffer or Uint8Array. Received ${chunk === null ? 'null' : typeof chunk}`,
      ),
      { code: chunk === null ? 'ERR_STREAM_NULL_VALUES' : 'ERR_INVALID_ARG_TYPE' },
    )
  if (typeof encoding !== 'string' || /^utf-?8$/i.test(encoding)) return chunk
  return Buffer.from(chunk, encoding as BufferEncoding)
}

function endStream(scope: RunScope, name: Name): void {
  scope.endedStreams ??= new Set()
  scope.endedStreams.add(name)
}

function callLater(args: readonly unknown[], error: Error | null): void {
  const callback = args.find((argument) => typeof argument === 'function') as Callback | undefined
  if (callback !== undefined) process.nextTick(callback, error)
}
