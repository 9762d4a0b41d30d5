// Converts an error to JSON fields, for byre's own lines and those of pino. The result is bounded and the conversion never
// throws: a worker may throw any value, including one with getters that throw.

import { stringify } from '../base/json.ts'
import { describeThrown } from '../base/errors.ts'

const MAX_CAUSES = 5
const MAX_OWN_KEYS = 16
const MAX_STACK_LENGTH = 16_384

/**
 * `{type, message, stack, ...own}` of an Error: its message joined with those of its causes ('a: b'), its stack followed by
 * theirs, and at most 16 own JSON members (code, details, ...). Up to five causes; the stacks have at most 16,384 characters
 * in total. Returns any other value unchanged.
 */
export function errorFields(value: unknown): unknown {
  if (!(value instanceof Error)) return value
  const chain = causesOf(value)
  const described = chain.map((error) => describeThrown(error))
  return {
    type: typeOf(value),
    message: described.map((d) => d.message).join(': '),
    stack: described
      .map((d) => d.stack ?? `${d.type}: ${d.message}`)
      .join('\ncaused by: ')
      .slice(0, MAX_STACK_LENGTH),
    ...ownMembers(value),
  }
}

function causesOf(error: Error): unknown[] {
  const chain: unknown[] = [error]
  let next: unknown = causeOf(error)
  while (next !== undefined && chain.length <= MAX_CAUSES && !chain.includes(next)) {
    chain.push(next)
    next = causeOf(next)
  }
  return chain
}

function causeOf(error: unknown): unknown {
  try {
    return error instanceof Error ? error.cause : undefined
  } catch {
    return undefined
  }
}

function typeOf(error: Error): string {
  try {
    const { name } = error.constructor
    return name === '' ? String(error.name) : name
  } catch {
    return 'Error'
  }
}

function ownMembers(error: Error): Record<string, unknown> {
  const members: Record<string, unknown> = {}
  try {
    for (const key of Object.keys(error).slice(0, MAX_OWN_KEYS)) {
      if (['name', 'message', 'stack', 'cause', 'type'].includes(key)) continue
      const value = (error as unknown as Record<string, unknown>)[key]
      const json = stringify(value)
      if (json !== undefined && json.length <= MAX_STACK_LENGTH) members[key] = value
    }
  } catch {
    // a getter that throws or a circular member: keep the members read so far
  }
  return members
}
