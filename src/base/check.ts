// Small type checks that every parser of options uses.

/** Belongs in the default branch of a switch over a closed union, where a missing case becomes a compile error. */
export function assertNever(value: never): never {
  throw new TypeError(`Unreachable: unexpected ${JSON.stringify(value)}`)
}

/** Returns true for a plain object: not null, not an array, and with the prototype Object.prototype or null. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
