// Checks cron expressions and time zones with croner, the library that runs them. It is loaded only when a worker has one.

import { describeThrown } from '../base/errors.ts'
import { lazyModule } from '../base/lazy.ts'
import { DEFAULTS } from './defaults.ts'
import { type Problems, show } from './problems.ts'
import { type RawRecord, asRecord, asText, rawWorkers } from './raw.ts'

const croner = lazyModule(() => import('croner'))

/** Adds a problem for every cron expression and time zone that croner refuses, and for every expression that never
 *  matches. */
export async function checkCrons(config: RawRecord, problems: Problems): Promise<void> {
  const reasons = new Map<string, string | undefined>()
  const once = async (key: string, check: () => Promise<string | undefined>): Promise<string | undefined> => {
    if (!reasons.has(key)) reasons.set(key, await check())
    return reasons.get(key)
  }
  for (const worker of rawWorkers(config)) {
    const { value, path } = worker.find('activation')
    const expression = asText(asRecord(value)['cron'])
    if (expression === undefined) continue
    const timezone = asText(asRecord(value)['timezone']) ?? DEFAULTS.timezone
    const wrongCron = await once(`cron ${expression}`, () => reasonCron(expression))
    if (wrongCron !== undefined) problems.add([...path, 'cron'], wrongCron)
    const wrongZone = await once(`zone ${timezone}`, () => reasonTimeZone(timezone))
    if (wrongZone !== undefined) problems.add([...path, 'timezone'], wrongZone)
  }
}

const FORM =
  "must have 5 fields (minute hour day month weekday), or 6 with seconds first, or be a nickname such as '@hourly'"

async function reasonCron(expression: string): Promise<string | undefined> {
  const fields = expression.trim().split(/\s+/)
  // croner also accepts a seventh field (the year) and a date. Both have a last match, after which the worker would never
  // wake again.
  const nickname = fields.length === 1 && expression.startsWith('@')
  if (expression.length > 256 || (!nickname && fields.length !== 5 && fields.length !== 6)) {
    return `${FORM}, got ${show(expression)}`
  }
  const { Cron } = await croner.load()
  try {
    if (new Cron(expression, { timezone: 'UTC' }).nextRun() !== null) return undefined
    return `must match at some time, but ${show(expression)} never does`
  } catch (error) {
    const reason = describeThrown(error).message.replace(/^Cron\w*:\s*/, '')
    return `${FORM}, got ${show(expression)} (${show(reason, 200)})`
  }
}

/** The check that croner makes, without loading croner. 'UTC' needs no time zone data. */
async function reasonTimeZone(name: string): Promise<string | undefined> {
  if (name === 'UTC') return undefined
  try {
    new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions()
    return undefined
  } catch {
    return `must be an IANA time zone such as 'Europe/Berlin', got ${show(name)}`
  }
}
