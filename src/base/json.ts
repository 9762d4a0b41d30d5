// JSON: the type of its values, shared by the bus and the config, its two functions as byre found them, and how a library
// that asks the global for them finds the same.

/** JSON only: publish serialises once (that is also the size check) and every subscriber gets its own copy. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Taken at import: a worker that replaces them must not break byre's log lines, envelopes and answers. */
export const stringify: typeof JSON.stringify = JSON.stringify
export const parse: typeof JSON.parse = JSON.parse

let depth = 0

/** Runs `fn`, synchronous code of a library that byre calls for a worker: it sees the globals as byre found them. */
export function withHostGlobals<T>(fn: () => T): T {
  depth++
  try {
    return fn()
  } finally {
    depth--
  }
}

/** Within withHostGlobals. */
export function seesHostGlobals(): boolean {
  return depth > 0
}
