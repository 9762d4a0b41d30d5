// `byre start, stop, restart, wake, sleep, move, log-level <worker>`: sends a command to the process that hosts the worker.

import { ByreError } from '../../base/errors.ts'
import { EXIT } from '../../base/exit-codes.ts'
import { isRecord } from '../../base/check.ts'
import { ask, survey } from '../../control/client.ts'
import type { Reached } from '../../control/client.ts'
import type { ControlAction, ControlOk, ControlRefused } from '../../herd/status.ts'
import { findSockets, noSupervisor, userName } from '../control-client.ts'
import type { ControlFlags } from '../control-client.ts'
import { exitCodeOf } from '../exit.ts'
import { print, printError } from '../io.ts'

const REPLY_TIMEOUT_MS = 5000

/** Sends `action` and prints the worker's new state, or the reply with --json. Returns 0, or the exit code of the refusal. */
export async function control(
  action: ControlAction,
  worker: string,
  args: Readonly<Record<string, unknown>> | undefined,
  flags: ControlFlags,
): Promise<number> {
  if (flags.bus !== undefined)
    return (await import('../fleet.ts')).fleetControl(action, worker, args, flags, `cli:${userName()}`)
  const { socketPath, status } = await findHost(worker, flags)
  const body = { by: `cli:${userName()}`, ...(args === undefined ? {} : { args }) }
  const path = `/workers/${encodeURIComponent(worker)}/${action}`
  const answer = await ask(socketPath, {
    method: 'POST',
    path,
    body: JSON.stringify(body),
    timeoutMs: REPLY_TIMEOUT_MS,
  })
  const reply = parseReply(answer.body)
  if (flags.json === true) await print(`${JSON.stringify({ version: 1, ...reply })}\n`)
  if (!reply.ok) {
    await printError(`byre: ${reply.error.message}\n`)
    return exitCodeOf(reply.error.code)
  }
  if (flags.json !== true)
    await print(`${reply.worker}: ${reply.state} (pid ${status.pid}, group ${status.group})\n`)
  if (reply.warning !== undefined) await printError(`byre: ${reply.warning}\n`)
  return EXIT.ok
}

/** Finds the process that hosts `worker`. Throws BYRE_WORKER_UNKNOWN with the known names, and BYRE_USAGE when two processes
 *  host it. */
export async function findHost(worker: string, flags: ControlFlags): Promise<Reached> {
  const sockets = await findSockets(flags)
  if (sockets.paths.length === 0) throw noSupervisor(sockets, flags.group)
  const { reached, unreachable } = await survey(sockets.paths, REPLY_TIMEOUT_MS)
  const [first, second] = reached.filter(({ status }) => status.workers.some(({ name }) => name === worker))
  if (second !== undefined) {
    const groups = `groups ${first!.status.group} and ${second.status.group}`
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot select worker '${worker}': it is ambiguous, since ${groups} both have it. Pass --group.`,
    )
  }
  if (first !== undefined) return first
  const silent = unreachable.map(({ name, reason }) => ` '${name}' did not answer: ${reason}`).join('')
  if (reached.length === 0)
    throw new ByreError('BYRE_CONTROL_UNREACHABLE', `Cannot reach the supervisor of '${worker}'.${silent}`)
  const names = reached.flatMap(({ status }) => status.workers.map(({ name }) => name))
  throw new ByreError(
    'BYRE_WORKER_UNKNOWN',
    `Cannot find worker '${worker}': ${reached.length} running supervisor${reached.length === 1 ? ' has' : 's have'} ${list(names)}.${silent}`,
  )
}

function list(names: readonly string[]): string {
  if (names.length === 0) return 'no workers'
  return names.length <= 30
    ? names.join(', ')
    : `${names.slice(0, 30).join(', ')} and ${names.length - 30} more`
}

function parseReply(text: string): ControlOk | ControlRefused {
  const value = parseJson(text)
  if (isRecord(value) && value['ok'] === true && typeof value['state'] === 'string')
    return value as unknown as ControlOk
  if (isRecord(value) && value['ok'] === false && isRecord(value['error']))
    return value as unknown as ControlRefused
  throw new ByreError(
    'BYRE_CONTROL_UNREACHABLE',
    'Cannot read the reply of the supervisor: it has another version. Use the version of byre that started it.',
  )
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
