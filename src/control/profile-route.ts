// POST /profile: checks what is asked, takes one profile at a time. Loaded with the first of them.

import { isRecord } from '../base/check.ts'
import { ByreError, describeProblems } from '../base/errors.ts'
import type { Problem } from '../base/errors.ts'
import type { ControlTarget, ProfileReport, ProfileRequest, ProfileSource } from '../herd/status.ts'

const WINDOW_MS: readonly [min: number, max: number] = [100, 60_000]

let running = false

/** Throws BYRE_ARGUMENT_INVALID, BYRE_CONTROL_BUSY while another is taken, BYRE_UNSUPPORTED where there is nothing to profile. */
export async function profile(body: unknown, target: ControlTarget): Promise<ProfileReport> {
  const request = parse(body)
  const source = target.profileSource?.()
  if (source === undefined)
    throw new ByreError('BYRE_UNSUPPORTED', 'Cannot take a profile: this process hosts no shared loop.')
  if (running)
    throw new ByreError(
      'BYRE_CONTROL_BUSY',
      'Cannot take a profile: another one is being taken. Ask again when it is done.',
    )
  running = true
  try {
    return await take(request, source)
  } finally {
    running = false
  }
}

async function take({ worker, ...request }: ProfileRequest, source: ProfileSource): Promise<ProfileReport> {
  const outside = worker === undefined ? 'shared' : source.outside(worker)
  if (outside === 'absent')
    throw new ByreError(
      'BYRE_CONTROL_REFUSED',
      `Cannot profile '${worker}': nothing of it runs here that can be asked. A script can be asked only in a process and with inside: true; start a worker first.`,
    )
  const { folder, label } = source
  if (outside !== 'shared') return outside({ ...request, folder, label })
  const { takeProfile } = await import('../watch/profile/profile.ts')
  return takeProfile(request, source)
}

function parse(body: unknown): ProfileRequest {
  const given = isRecord(body) ? body : {}
  const { kind = 'cpu', windowMs = 5000, worker } = given
  const problems: Problem[] = []
  const unknown = Object.keys(given).find((key) => !['kind', 'windowMs', 'worker'].includes(key))
  if (unknown !== undefined)
    problems.push({ path: unknown.slice(0, 40), message: 'unknown key; known are kind, windowMs, worker' })
  if (kind !== 'cpu' && kind !== 'heap') problems.push({ path: 'kind', message: "must be 'cpu' or 'heap'" })
  const [min, max] = WINDOW_MS
  if (typeof windowMs !== 'number' || !(windowMs >= min && windowMs <= max))
    problems.push({ path: 'windowMs', message: `must be a number from ${min} to ${max}` })
  if (worker !== undefined && typeof worker !== 'string')
    problems.push({ path: 'worker', message: 'must be a name' })
  if (problems.length > 0)
    throw new ByreError('BYRE_ARGUMENT_INVALID', describeProblems('Cannot take a profile', problems))
  const request = { kind: kind as ProfileRequest['kind'], windowMs: windowMs as number }
  return typeof worker === 'string' ? { ...request, worker } : request
}
