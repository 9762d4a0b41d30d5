// JSON: the type of its values, shared by the bus and the config, and its two functions as byre found them.

/** JSON only: publish serialises once (that is also the size check) and every subscriber gets its own copy. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Taken at import: a worker that replaces them must not break byre's log lines, envelopes and answers. */
export const stringify: typeof JSON.stringify = JSON.stringify
export const parse: typeof JSON.parse = JSON.parse
