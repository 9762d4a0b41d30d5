// The JSON value type, shared by the bus and the config.

/** JSON only: publish serialises once (that is also the size check) and every subscriber gets its own copy. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
