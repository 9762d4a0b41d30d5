// `byre status --bus` and the control commands with --bus: what the fleet answered, for people and for scripts.

import { ByreError } from '../base/errors.ts'
import { EXIT } from '../base/exit-codes.ts'
import type { ExitCode } from '../base/exit-codes.ts'
import { textTable } from '../report/text-table.ts'
import { statusTable } from '../report/status-table.ts'
import { STATUS_VERSION } from '../herd/status.ts'
import type { ControlAction, SupervisorStatus } from '../herd/status.ts'
import type { ControlFlags } from './control-client.ts'
import { askFleet } from './fleet.ts'
import type { FleetAnswer } from './fleet.ts'
import { columns, print, printError } from './io.ts'

/** The table of every supervisor of the herd; 0 all well, 1 a worker is quarantined, 4 somebody did not answer. */
export async function fleetStatus(flags: ControlFlags, by: string): Promise<ExitCode> {
  const answer = await askFleet(flags, { worker: undefined, action: 'status', by })
  const all = answer.replies.flatMap((reply) => ('status' in reply ? [reply.status] : []))
  const supervisors = all
    .filter(({ group }) => flags.group === undefined || group === flags.group)
    .toSorted((a, b) => (`${a.host} ${a.group}` < `${b.host} ${b.group}` ? -1 : 1))
  if (flags.json === true) {
    const unreachable = answer.silent.map((name) => ({ name, reason: silence(name) }))
    const found = { version: STATUS_VERSION, herd: answer.herd, supervisors, unreachable }
    await print(`${JSON.stringify(found, undefined, 2)}\n`)
  } else {
    const width = columns()
    const options = { now: Date.now(), hosts: true, ...(width === undefined ? {} : { width }) }
    if (supervisors.length > 0) await print(statusTable(supervisors, options))
    await tellTrouble(answer)
  }
  return exitCode(supervisors, answer)
}

/** One command to the worker wherever in the fleet it is hosted; 0 when a supervisor did it. */
export async function fleetControl(
  action: ControlAction,
  worker: string,
  args: Readonly<Record<string, unknown>> | undefined,
  flags: ControlFlags,
  by: string,
): Promise<ExitCode> {
  const answer = await askFleet(flags, { worker, action, args, by })
  const done = answer.replies.flatMap((reply) => ('state' in reply ? [reply] : []))
  if (flags.json === true) {
    const unreachable = answer.silent.map((name) => ({ name, reason: silence(name) }))
    await print(
      `${JSON.stringify({ version: 1, herd: answer.herd, replies: answer.replies, unreachable })}\n`,
    )
  } else {
    const rows = done.map(({ member, state, warning }) => [hostOf(member), worker, state, warning ?? ''])
    const titles = [{ title: 'HOST' }, { title: 'WORKER' }, { title: 'STATE' }, { title: 'NOTE' }]
    if (rows.length > 0) await print(`${textTable(titles, rows, {}).join('\n')}\n`)
    await tellTrouble(answer)
  }
  if (done.length > 0) return answer.silent.length > 0 ? EXIT.unreachable : EXIT.ok
  if (answer.replies.length > 0) return EXIT.unreachable
  throw nobody(answer.herd)
}

/** Refusals other than that it is hosted elsewhere, and who did not answer. */
async function tellTrouble({ replies, silent }: FleetAnswer): Promise<void> {
  const served = replies.some(({ ok }) => ok)
  for (const reply of replies) {
    if (reply.ok || (served && reply.error.code === 'BYRE_WORKER_UNKNOWN')) continue
    await printError(`byre: ${reply.member}: ${reply.error.message}\n`)
  }
  for (const member of silent) await printError(`byre: ${silence(member)}\n`)
}

function silence(member: string): string {
  return `${member} did not answer`
}

function hostOf(member: string): string {
  return member.split('/', 1)[0] ?? member
}

function exitCode(supervisors: readonly SupervisorStatus[], { herd, silent }: FleetAnswer): ExitCode {
  if (supervisors.length === 0 && silent.length === 0) throw nobody(herd)
  const workers = supervisors.flatMap(({ workers }) => workers)
  if (workers.some(({ state }) => state === 'quarantined')) return EXIT.failed
  return supervisors.length === 0 || silent.length > 0 ? EXIT.unreachable : EXIT.ok
}

function nobody(herd: string): ByreError {
  return new ByreError(
    'BYRE_CONTROL_UNREACHABLE',
    `Cannot find a supervisor of herd '${herd}' on this bus: nobody answered. Control over Redis is off unless the config has control.secret (or overRedis: 'unsigned'), and both sides need the same secret.`,
  )
}
