// The type of JSON values, shared by the bus and the config, and the original JSON functions, which hosted workers may
// replace.

/** A JSON value. A publish serialises it once, which is also the size check, and every subscriber gets its own copy. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Captured at import: a worker that replaces them must not break byre's log lines, envelopes and replies. */
export const stringify: typeof JSON.stringify = JSON.stringify
export const parse: typeof JSON.parse = JSON.parse

const originalJson = JSON

/**
 * Runs `fn`, which is synchronous library code, with the original JSON functions in place. Byre calls it on behalf of a
 * worker, and a worker that replaced them must not break the log lines of other workers.
 */
export function withOriginalJson<T>(fn: () => T): T {
  if (
    globalThis.JSON === originalJson &&
    originalJson.stringify === stringify &&
    originalJson.parse === parse
  )
    return fn()
  const replaced = { JSON: globalThis.JSON, stringify: originalJson.stringify, parse: originalJson.parse }
  try {
    setJson({ JSON: originalJson, stringify, parse })
    return fn()
  } finally {
    setJson(replaced)
  }
}

/** Leaves read-only properties unchanged. */
function setJson({
  JSON: next,
  ...functions
}: Pick<JSON, 'stringify' | 'parse'> & { readonly JSON: JSON }): void {
  Reflect.set(globalThis, 'JSON', next)
  for (const [name, fn] of Object.entries(functions)) Reflect.set(originalJson, name, fn)
}
