// Small checks every options reader uses.

/** For the default branch of a switch over a closed union: a compile error when a case is missing. */
export function assertNever(value: never): never {
  throw new TypeError(`Unreachable: unexpected ${JSON.stringify(value)}`)
}

/** A plain object: not null, not an array, prototype Object.prototype or null. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
