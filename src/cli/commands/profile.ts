// `byre profile <worker>`: shows which workers use the event loop or the heap of the worker's process or thread.

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

/** Time limit for starting and stopping the profiler and for the attribution, in addition to the window. */
const OVERHEAD_MS = 30_000

/** Prints the shares of the workers, or the report with --json. Returns 0, or the exit code of the refusal. */
export async function profile(worker: string, flags: ProfileFlags): Promise<number> {
  const windowMs = parseDurationMs(flags.cpu ?? '5s')
  if (windowMs === undefined)
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot use --cpu: it must be a duration such as 5s, got '${flags.cpu}'.`,
    )
  const { socketPath, status } = await findHost(worker, flags)
  const place = status.workers.find(({ name }) => name === worker)?.placement
  const kind = flags.heap === true ? 'heap' : 'cpu'
  const body = JSON.stringify({ kind, windowMs, worker })
  const answer = await ask(socketPath, {
    method: 'POST',
    path: '/profile',
    body,
    timeoutMs: windowMs + OVERHEAD_MS,
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
