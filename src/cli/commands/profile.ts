// `byre profile <worker>`: who uses the loop that the worker lives in.

import { parseDurationMs } from '../../base/durations.ts'
import { ByreError } from '../../base/errors.ts'
import { EXIT } from '../../base/exit-codes.ts'
import { profileText } from '../../report/profile-text.ts'
import { ask } from '../../control/client.ts'
import type { ControlRefused, ProfileReport } from '../../herd/status.ts'
import type { ControlFlags } from '../control-client.ts'
import { exitCodeOf } from '../exit.ts'
import { print, printError } from '../io.ts'
import { findHost } from './control.ts'

export interface ProfileFlags extends ControlFlags {
  readonly cpu?: string
  readonly heap?: boolean
}

/** The profiler starts, stops and is attributed within this, ms, beside its window. */
const EXTRA_MS = 30_000

/** Prints the shares, or the report with --json; 0, or by the code of the refusal. */
export async function profile(worker: string, flags: ProfileFlags): Promise<number> {
  const windowMs = parseDurationMs(flags.cpu ?? '5s')
  if (windowMs === undefined)
    throw new ByreError('BYRE_USAGE', `Cannot profile for '${flags.cpu}': it is no duration such as 5s.`)
  const { socketPath, status } = await findHost(worker, flags)
  const place = status.workers.find(({ name }) => name === worker)?.placement
  const kind = flags.heap === true ? 'heap' : 'cpu'
  const body = JSON.stringify({ kind, windowMs, worker })
  const answer = await ask(socketPath, {
    method: 'POST',
    path: '/profile',
    body,
    timeoutMs: windowMs + EXTRA_MS,
  })
  const reply = JSON.parse(answer.body) as ProfileReport | ControlRefused
  if ('error' in reply) {
    await printError(`byre: ${reply.error.message}\n`)
    return exitCodeOf(reply.error.code)
  }
  await print(
    flags.json === true
      ? `${JSON.stringify(reply, undefined, 2)}\n`
      : profileText(reply, worker, place ?? 'shared'),
  )
  return EXIT.ok
}
