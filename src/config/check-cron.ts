// Cron expressions and time zones, judged by the library that will run them (croner), loaded only when a worker has one.

import { describeThrown } from '../base/errors.ts'
import { lazyModule } from '../base/lazy.ts'
import { DEFAULTS } from './defaults.ts'
import { type Problems, show } from './problems.ts'
import { type RawRecord, asRecord, asText, rawWorkers } from './raw.ts'

/** croner, loaded on the first use. */
const croner = lazyModule(() => import('croner'))

/** Adds a problem for every cron expression or time zone that croner would refuse, or that never comes true. */
export async function checkCrons(config: RawRecord, problems: Problems): Promise<void> {
  const reasons = new Map<string, string | undefined>()
  const remember = async (
    key: string,
    judge: () => Promise<string | undefined>,
  ): Promise<string | undefined> => {
    if (!reasons.has(key)) reasons.set(key, await judge())
    return reasons.get(key)
  }
  for (const worker of rawWorkers(config)) {
    const { value, path } = worker.find('activation')
    const expression = asText(asRecord(value)['cron'])
    if (expression === undefined) continue
    const timezone = asText(asRecord(value)['timezone']) ?? DEFAULTS.timezone
    const wrongCron = await remember(`cron ${expression}`, () => reasonCron(expression))
    if (wrongCron !== undefined) problems.add([...path, 'cron'], wrongCron)
    const wrongZone = await remember(`zone ${timezone}`, () => reasonTimeZone(timezone))
    if (wrongZone !== undefined) problems.add([...path, 'timezone'], wrongZone)
  }
}

const FORM =
  "must be 5 fields (minute hour day month weekday), 6 with seconds first, or '@hourly' and the like"

async function reasonCron(expression: string): Promise<string | undefined> {
  const fields = expression.trim().split(/\s+/)
  // croner also takes a seventh field (the year) and a date: both end one day, and a worker would never wake again.
  const nickname = fields.length === 1 && expression.startsWith('@')
  if (expression.length > 256 || (!nickname && fields.length !== 5 && fields.length !== 6)) {
    return `${FORM}, got ${show(expression)}`
  }
  const { Cron } = await croner.load()
  try {
    if (new Cron(expression, { timezone: 'UTC' }).nextRun() !== null) return undefined
    return `never comes true, got ${show(expression)}`
  } catch (error) {
    const reason = describeThrown(error).message.replace(/^Cron\w*:\s*/, '')
    return `${FORM}, got ${show(expression)} (${show(reason, 200)})`
  }
}

/** What croner itself asks, without the cost of loading it: 'UTC' needs no time zone data. */
async function reasonTimeZone(name: string): Promise<string | undefined> {
  if (name === 'UTC') return undefined
  try {
    new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions()
    return undefined
  } catch {
    return `must be an IANA time zone such as 'Europe/Berlin', got ${show(name)}`
  }
}
