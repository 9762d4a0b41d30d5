// Parses a control message into a ControlCommand, or into the refusal that answers it. Pure. Shared by the socket and the bus, so
// that both refuse the same messages with the same text.

import { isRecord } from '../base/check.ts'
import type { ErrorCode } from '../base/errors.ts'
import { LOG_LEVELS } from '../log/logger.ts'
import { CONTROL_ACTIONS } from '../herd/status.ts'
import type { ControlAction, ControlCommand, ControlRefused } from '../herd/status.ts'

/** A refusal and the matching HTTP status. */
export interface Refusal {
  readonly ok: false
  readonly status: 400 | 404 | 409 | 413 | 429
  readonly body: ControlRefused
}

export type ParsedCommand = { readonly ok: true; readonly command: ControlCommand } | Refusal

/** Longest `id` of a message; it is returned in the reply. */
const MAX_ID_LENGTH = 128
/** Longest `by`; it is logged. */
const MAX_BY_LENGTH = 128
/** Longest worker name in a message; the config allows less. */
export const MAX_WORKER_LENGTH = 128

const KEYS: readonly string[] = ['v', 'id', 'action', 'by', 'worker', 'args']
const PLACEMENTS = ['shared', 'thread', 'process'] as const
/** The argument of the actions that have one, and its values; other actions have none. */
const ARGUMENTS: Partial<
  Record<ControlAction, { readonly name: string; readonly values: readonly string[] }>
> = {
  'log-level': { name: 'level', values: LOG_LEVELS },
  move: { name: 'to', values: PLACEMENTS },
}

/** The properties that the transport adds to a message. */
export interface TransportInfo {
  /** The worker as named by the transport (the topic), instead of by the message. */
  readonly worker?: string
  /** Keys of the message that belong to the transport (`replyTo`, the signature). @default none */
  readonly keys?: readonly string[]
}

/**
 * The command in `{v: 1, id, action, by, worker, args?}`, or a refusal that names up to five unknown keys and every other problem.
 * The target checks whether the worker exists. Never throws; reads own enumerable keys only.
 */
export function parseCommand(message: unknown, transport: TransportInfo = {}): ParsedCommand {
  if (!isRecord(message)) return refuse(400, '', `a control message is a JSON object, got ${show(message)}`)
  const problems: string[] = []
  for (const key of Object.keys(message)) {
    if (!KEYS.includes(key) && transport.keys?.includes(key) !== true)
      problems.push(`unknown key ${show(key)}`)
    if (problems.length >= 5) break // a hostile message may have thousands
  }
  const worker = transport.worker ?? message['worker']
  if (message['v'] !== 1) problems.push(`'v' must be 1, got ${show(message['v'])}`)
  const id = message['id']
  if (!isText(id, MAX_ID_LENGTH)) problems.push(textRule('id', MAX_ID_LENGTH, id))
  if (!isText(message['by'], MAX_BY_LENGTH)) problems.push(textRule('by', MAX_BY_LENGTH, message['by']))
  if (!isText(worker, MAX_WORKER_LENGTH)) problems.push(textRule('worker', MAX_WORKER_LENGTH, worker))
  const action = parseAction(message['action'], problems)
  const args = action === undefined ? undefined : parseArgs(action, message['args'], problems)
  if (problems.length > 0) return refuse(400, isText(id, MAX_ID_LENGTH) ? id : '', problems.join('; '))
  const command = { v: 1, id, action, by: message['by'], worker } as ControlCommand
  return { ok: true, command: args === undefined ? command : { ...command, args } }
}

/** The refusal of a message; `fact` completes "Cannot act on the control message: ...". */
export function refuse(
  status: Refusal['status'],
  id: string,
  fact: string,
  code: ErrorCode = 'BYRE_CONTROL_REFUSED',
): Refusal {
  const message = `Cannot act on the control message: ${fact}. Nothing was done.`
  return { ok: false, status, body: { v: 1, id, ok: false, error: { code, message } } }
}

function parseAction(value: unknown, problems: string[]): ControlAction | undefined {
  const known = CONTROL_ACTIONS.find((a) => a === value)
  if (known === undefined)
    problems.push(`'action' must be one of ${CONTROL_ACTIONS.join(', ')}, got ${show(value)}`)
  return known
}

function parseArgs(action: ControlAction, value: unknown, problems: string[]): ControlCommand['args'] {
  const rule = ARGUMENTS[action]
  if (value !== undefined && !isRecord(value)) {
    problems.push(`'args' must be an object, got ${show(value)}`)
    return undefined
  }
  for (const key of Object.keys(value ?? {}).slice(0, 3)) {
    if (key !== rule?.name) problems.push(`'${action}' has no argument ${show(key)}`)
  }
  if (rule === undefined) return undefined
  const given = value !== undefined && Object.hasOwn(value, rule.name) ? value[rule.name] : undefined
  if (typeof given === 'string' && rule.values.includes(given)) return { [rule.name]: given }
  problems.push(`'args.${rule.name}' must be one of ${rule.values.join(', ')}, got ${show(given)}`)
  return undefined
}

function isText(value: unknown, maxLength: number): value is string {
  return (
    typeof value === 'string' &&
    value.length > 0 &&
    value.length <= maxLength &&
    !/[\p{Cc}\p{Cs}]/u.test(value)
  )
}

function textRule(key: string, maxLength: number, value: unknown): string {
  return `'${key}' must be a string of 1 to ${maxLength} characters without control characters, got ${show(value)}`
}

/** A value as short text on one line. Never descends into it: it may be nested 30,000 levels deep. */
function show(value: unknown): string {
  if (typeof value === 'string') {
    const cut = value.length > 40 ? `${value.slice(0, 40)}...` : value
    return `${JSON.stringify(cut)}${value.length > 40 ? ` (${value.length} characters)` : ''}`
  }
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'an array'
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return `${value}`
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
