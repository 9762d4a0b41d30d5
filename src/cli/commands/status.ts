// `byre status`: shows the workers of all reachable processes of the herd.

import { EXIT } from '../../base/exit-codes.ts'
import type { ExitCode } from '../../base/exit-codes.ts'
import { statusTable } from '../../report/status-table.ts'
import { survey } from '../../control/client.ts'
import type { Survey } from '../../control/client.ts'
import { STATUS_VERSION } from '../../herd/status.ts'
import { findSockets, noSupervisor, userName } from '../control-client.ts'
import type { ControlFlags } from '../control-client.ts'
import { columns, print, printError } from '../io.ts'

const REPLY_TIMEOUT_MS = 5000

/** Prints the table, or `{version, herd, supervisors, unreachable}` with --json. Returns 0, 1 when a worker is quarantined,
 *  or 4 when a process is unreachable. */
export async function status(flags: ControlFlags): Promise<number> {
  if (flags.bus !== undefined) return (await import('../fleet.ts')).fleetStatus(flags, `cli:${userName()}`)
  const sockets = await findSockets(flags)
  if (sockets.paths.length === 0 && flags.json !== true) throw noSupervisor(sockets, flags.group)
  const found = await survey(sockets.paths, REPLY_TIMEOUT_MS)
  const supervisors = found.reached.map((r) => r.status)
  const herd = sockets.herd ?? supervisors[0]?.herd
  if (flags.json === true) {
    const { unreachable } = found
    await print(
      `${JSON.stringify({ version: STATUS_VERSION, herd, supervisors, unreachable }, undefined, 2)}\n`,
    )
    return exitCode(found)
  }
  const width = columns()
  if (supervisors.length > 0)
    await print(statusTable(supervisors, { now: Date.now(), ...(width === undefined ? {} : { width }) }))
  for (const { reason } of found.unreachable) await printError(`byre: ${reason}\n`)
  return exitCode(found)
}

/** A quarantined worker takes precedence over an unreachable process, since it needs an operator. */
function exitCode({ reached, unreachable }: Survey): ExitCode {
  const workers = reached.flatMap(({ status }) => status.workers)
  if (workers.some(({ state }) => state === 'quarantined')) return EXIT.failed
  return reached.length === 0 || unreachable.length > 0 ? EXIT.unreachable : EXIT.ok
}
