// `byre status`: the workers of every process of the herd that answers.

import { EXIT } from '../../base/exit-codes.ts'
import type { ExitCode } from '../../base/exit-codes.ts'
import { statusTable } from '../../report/status-table.ts'
import { survey } from '../../control/client.ts'
import type { Survey } from '../../control/client.ts'
import { STATUS_VERSION } from '../../herd/status.ts'
import { findSockets, noSupervisor } from '../control-client.ts'
import type { ControlFlags } from '../control-client.ts'
import { columns, print, printError } from '../io.ts'
import { userName } from '../user-name.ts'

const ANSWER_MS = 5000

/** Prints the table, or with --json `{version, herd, supervisors, unreachable}`; 0 all well, 1 a worker is quarantined, 4 unreachable. */
export async function status(flags: ControlFlags): Promise<number> {
  if (flags.bus !== undefined)
    return (await import('../fleet-commands.ts')).fleetStatus(flags, `cli:${userName()}`)
  const sockets = await findSockets(flags)
  if (sockets.paths.length === 0 && flags.json !== true) throw noSupervisor(sockets, flags.group)
  const found = await survey(sockets.paths, ANSWER_MS)
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

/** Quarantined outweighs unreachable: it is the one that needs somebody. */
function exitCode({ reached, unreachable }: Survey): ExitCode {
  const workers = reached.flatMap(({ status }) => status.workers)
  if (workers.some(({ state }) => state === 'quarantined')) return EXIT.failed
  return reached.length === 0 || unreachable.length > 0 ? EXIT.unreachable : EXIT.ok
}
