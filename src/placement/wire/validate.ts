// Validates the lines of a child. The worker's code can reach the wire too, so a child is only as trustworthy as that code. A
// line with invalid values was not written by byre: it ends the child before it can make the supervisor fail. A separate
// file because only the supervisor loads it.

import { isRecord } from '../../base/check.ts'
import type { LoadNeeds } from '../../worker/load.ts'
import type { Verdict } from '../../herd/status.ts'
import type { WireLine } from './protocol.ts'

type Values = readonly unknown[]

/** Returns why byre's code in a child cannot have written the line, or undefined for a valid line and for an unknown tag. */
export function whyInvalid([tag, ...values]: WireLine): string | undefined {
  return CHECKS.get(tag)?.(values) === false ? `a line '${tag}' has invalid values` : undefined
}

const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value)
/** JSON has no undefined: an omitted value is null, and absent at the end of the line. */
const isNumberOrNone = (value: unknown): boolean => value === undefined || value === null || isNumber(value)
/** Id of a subscription, call or message. */
const isId = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

const VERDICTS: Readonly<Record<Verdict, true>> = {
  done: true,
  stopped: true,
  failed: true,
  'threw-stray': true,
  stalled: true,
  'oom-heap': true,
  'oom-host': true,
  killed: true,
  'launch-failed': true,
  unknown: true,
}

const NEEDS: readonly unknown[] = [undefined, 'new-code', 'new-process'] satisfies (LoadNeeds | undefined)[]

function isExit(value: unknown): boolean {
  return (
    isRecord(value) &&
    NEEDS.includes(value['needs']) &&
    typeof value['verdict'] === 'string' &&
    Object.hasOwn(VERDICTS, value['verdict']) &&
    typeof value['text'] === 'string' &&
    isRecord(value['evidence'])
  )
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((text) => typeof text === 'string')
}

function isEnded(value: unknown): boolean {
  if (!isRecord(value) || !isExit(value['exit']) || !isRecord(value['leftovers'])) return false
  const { timers, listeners, servers, handles } = value['leftovers']
  return [timers, listeners, servers, handles].every(isTexts)
}

function isLoad(value: unknown): boolean {
  if (!isRecord(value)) return false
  const { ms, rssBytes, unavailable } = value
  const reasons = unavailable === undefined || (isRecord(unavailable) && isTexts(Object.values(unavailable)))
  return isNumberOrNone(ms) && isNumberOrNone(rssBytes) && reasons
}

function isHeap(value: unknown): boolean {
  return isRecord(value) && HEAP_FIGURES.every((name) => isNumber(value[name]))
}

const HEAP_FIGURES = ['usedBytes', 'totalBytes', 'externalBytes', 'limitBytes']

const isOfId = ([id]: Values): boolean => isId(id)
const isOfMessage = ([id, number]: Values): boolean => isId(id) && isId(number)

const CHECKS: ReadonlyMap<string, (values: Values) => boolean> = new Map([
  ['hello', ([version, pid, tid]) => isNumber(version) && isNumber(pid) && isNumberOrNone(tid)],
  ['loaded', ([figures]) => isLoad(figures)],
  ['ended', ([ended]) => isEnded(ended)],
  ['charged', ([exit]) => isExit(exit)],
  ['fault', ([fault]) => isRecord(fault)],
  ['log', ([record]) => isRecord(record)],
  ['lvl', ([level]) => typeof level === 'string'],
  ['heap', ([figures]) => isHeap(figures)],
  ['heartbeat', ([number]) => isNumber(number)],
  ['child', ([pid, startTicks]) => isId(pid) && isId(startTicks)],
  ['output', isOfId],
  ['s', ([id, pattern, options]) => isId(id) && typeof pattern === 'string' && isRecord(options)],
  ['c', ([id, method]) => isId(id) && typeof method === 'string'],
  ['g', isOfMessage],
  ['l', isOfMessage],
  ['u', isOfId],
  ['a', isOfId],
] as [string, (values: Values) => boolean][])
