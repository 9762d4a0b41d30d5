// An error as JSON fields, the same in byre's own lines and in those of pino. Bounded and never throwing: workers throw
// hostile things.

import { stringify } from '../base/json.ts'
import { describeThrown } from '../base/errors.ts'

const CAUSES = 5
const OWN_KEYS = 16
const STACK_LENGTH = 16_384

/**
 * `{type, message, stack, ...own}` of an Error: message joined with those of its causes ('a: b'), stack followed by theirs,
 * at most 16 own JSON members (code, details, ...). Up to five causes, stacks up to 16384 characters together. Anything but an Error
 * is given back as it is.
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
      .slice(0, STACK_LENGTH),
    ...ownMembers(value),
  }
}

function causesOf(error: Error): unknown[] {
  const chain: unknown[] = [error]
  let next: unknown = causeOf(error)
  while (next !== undefined && chain.length <= CAUSES && !chain.includes(next)) {
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
    for (const key of Object.keys(error).slice(0, OWN_KEYS)) {
      if (['name', 'message', 'stack', 'cause', 'type'].includes(key)) continue
      const value = (error as unknown as Record<string, unknown>)[key]
      const json = stringify(value)
      if (json !== undefined && json.length <= STACK_LENGTH) members[key] = value
    }
  } catch {
    // a getter that throws, a circular member: what was read so far is kept
  }
  return members
}
