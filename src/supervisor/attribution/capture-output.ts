// What a worker writes to stdout, stderr or console becomes its log lines, told apart by async context.

import { currentScope, runInScope } from './run-scope.ts'

type Write = (chunk: string | Uint8Array, ...rest: unknown[]) => boolean

/** Redirects process.stdout and process.stderr writes of workers to their scope; returns its undo. The streams are
 *  not even created before somebody asks for them. */
export function captureOutput(): () => void {
  const undos = (['stdout', 'stderr'] as const).map((name) => {
    const descriptor = Object.getOwnPropertyDescriptor(process, name)
    if (descriptor === undefined) return () => {}
    let patched: NodeJS.WriteStream | undefined
    let original: Write | undefined
    Object.defineProperty(process, name, {
      configurable: true,
      enumerable: true,
      get: () => {
        if (patched === undefined) {
          // Made as nobody: the stream and its own listeners belong to the process, not to who asks first.
          patched = runInScope(undefined, () =>
            descriptor.get === undefined ? descriptor.value : descriptor.get.call(process),
          ) as NodeJS.WriteStream
          original = (patched as unknown as { readonly write: Write }).write
          patched.write = writer(patched, original, name) as typeof patched.write
        }
        return patched
      },
    })
    return () => {
      if (patched !== undefined && original !== undefined) patched.write = original as typeof patched.write
      Object.defineProperty(process, name, descriptor)
    }
  })
  return () => {
    for (const undo of undos) undo()
  }
}

function writer(stream: NodeJS.WriteStream, original: Write, name: 'stdout' | 'stderr'): Write {
  return (chunk, ...rest) => {
    const scope = currentScope()
    if (scope === undefined) return original.call(stream, chunk, ...rest)
    scope.sink.output(name, chunk)
    const callback = rest.find((argument) => typeof argument === 'function') as
      | ((error: null) => void)
      | undefined
    if (callback !== undefined) process.nextTick(callback, null)
    return true
  }
}
