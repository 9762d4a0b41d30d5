// JSON: the type of its values, shared by the bus and the config, its two functions as byre found them, and how a library
// that takes them from the global finds the same.

/** JSON only: publish serialises once (that is also the size check) and every subscriber gets its own copy. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Taken at import: a worker that replaces them must not break byre's log lines, envelopes and answers. */
export const stringify: typeof JSON.stringify = JSON.stringify
export const parse: typeof JSON.parse = JSON.parse

const host = JSON

/**
 * Runs `fn`, synchronous code of a library that byre calls for a worker, with the JSON functions that byre found: a worker
 * that replaced them must not break the log lines of its siblings.
 */
export function withHostJson<T>(fn: () => T): T {
  if (globalThis.JSON === host && host.stringify === stringify && host.parse === parse) return fn()
  const replaced = { JSON: globalThis.JSON, stringify: host.stringify, parse: host.parse }
  try {
    setJson({ JSON: host, stringify, parse })
    return fn()
  } finally {
    setJson(replaced)
  }
}

/** What was made read-only stays as it is. */
function setJson({
  JSON: next,
  ...functions
}: Pick<JSON, 'stringify' | 'parse'> & { readonly JSON: JSON }): void {
  Reflect.set(globalThis, 'JSON', next)
  for (const [name, fn] of Object.entries(functions)) Reflect.set(host, name, fn)
}
