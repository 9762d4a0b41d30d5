// The mark on lines that repeat by nature and are bounded elsewhere (transitions, captured output): never folded.

const UNFOLDED: unique symbol = Symbol('byre.unfolded')

/** `fields`, marked so that the fold passes the line. A symbol key: no formatter prints it. */
export function unfolded<T extends object>(fields: T): T {
  return Object.defineProperty(fields, UNFOLDED, { value: true })
}

export function isUnfolded(fields: unknown): boolean {
  return typeof fields === 'object' && fields !== null && UNFOLDED in fields
}
