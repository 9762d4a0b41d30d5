// The --bus flag of `byre status` and the control commands: sends a command to every supervisor of the herd over the shared
// bus and prints the replies and the missing ones.

import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { systemClock } from '../base/clock.ts'
import type { Timer } from '../base/clock.ts'
import { isRecord } from '../base/check.ts'
import { ByreError } from '../base/errors.ts'
import { EXIT } from '../base/exit-codes.ts'
import type { ExitCode } from '../base/exit-codes.ts'
import type { HostBus } from '../bus/bus.ts'
import { openRedisBus } from '../bus/redis.ts'
import { commandMessage, readReply, WHOLE_HERD } from '../control/fleet-message.ts'
import type { FleetReply } from '../control/fleet-message.ts'
import { STATUS_VERSION } from '../herd/status.ts'
import type { ControlAction, SupervisorStatus } from '../herd/status.ts'
import { statusTable } from '../report/status-table.ts'
import { textTable } from '../report/text-table.ts'
import { configOf } from './control-client.ts'
import type { ControlFlags } from './control-client.ts'
import { columns, print, printError } from './io.ts'

interface FleetCommand {
  /** Undefined for a command to each supervisor itself. */
  readonly worker: string | undefined
  readonly action: ControlAction
  readonly args?: Readonly<Record<string, unknown>> | undefined
  /** The user who sends the command, for the logs. */
  readonly by: string
}

interface FleetReplies {
  readonly herd: string
  readonly replies: readonly FleetReply[]
  /** `<host>/<group>/<pid>` of the supervisors that were active within the last minute and did not reply. */
  readonly silent: readonly string[]
}

/** Reply timeout in ms. */
const REPLY_TIMEOUT_MS = 5000
/** Time in ms to wait for further replies after all known supervisors have replied. */
const EXTRA_REPLIES_MS = 100

/** Prints the status of every supervisor of the herd. Returns 0, 1 when a worker is quarantined, or 4 when a supervisor did
 *  not reply. */
export async function fleetStatus(flags: ControlFlags, by: string): Promise<ExitCode> {
  const answer = await sendToFleet(flags, { worker: undefined, action: 'status', by })
  const all = answer.replies.flatMap((reply) => ('status' in reply ? [reply.status] : []))
  const supervisors = all
    .filter(({ group }) => flags.group === undefined || group === flags.group)
    .toSorted((a, b) => (`${a.host} ${a.group}` < `${b.host} ${b.group}` ? -1 : 1))
  if (flags.json === true) {
    const unreachable = answer.silent.map((name) => ({ name, reason: noReply(name) }))
    const found = { version: STATUS_VERSION, herd: answer.herd, supervisors, unreachable }
    await print(`${JSON.stringify(found, undefined, 2)}\n`)
  } else {
    const width = columns()
    const options = { now: Date.now(), hosts: true, ...(width === undefined ? {} : { width }) }
    if (supervisors.length > 0) await print(statusTable(supervisors, options))
    await printFailures(answer)
  }
  return exitCode(supervisors, answer)
}

/** Sends a command to the worker on every host. Returns 0 when a supervisor has executed it. */
export async function fleetControl(
  action: ControlAction,
  worker: string,
  args: Readonly<Record<string, unknown>> | undefined,
  flags: ControlFlags,
  by: string,
): Promise<ExitCode> {
  const answer = await sendToFleet(flags, { worker, action, args, by })
  const executed = answer.replies.flatMap((reply) => ('state' in reply ? [reply] : []))
  if (flags.json === true) {
    const unreachable = answer.silent.map((name) => ({ name, reason: noReply(name) }))
    await print(
      `${JSON.stringify({ version: 1, herd: answer.herd, replies: answer.replies, unreachable })}\n`,
    )
  } else {
    const rows = executed.map(({ member, state, warning }) => [hostOf(member), worker, state, warning ?? ''])
    const titles = [{ title: 'HOST' }, { title: 'WORKER' }, { title: 'STATE' }, { title: 'NOTE' }]
    if (rows.length > 0) await print(`${textTable(titles, rows, {}).join('\n')}\n`)
    await printFailures(answer)
  }
  if (executed.length > 0) return answer.silent.length > 0 ? EXIT.unreachable : EXIT.ok
  if (answer.replies.length > 0) return EXIT.unreachable
  throw noSupervisors(answer.herd)
}

/** Prints refusals, except those of supervisors that do not host the worker, and the missing replies. */
async function printFailures({ replies, silent }: FleetReplies): Promise<void> {
  const isHosted = replies.some(({ ok }) => ok)
  for (const reply of replies) {
    if (reply.ok || (isHosted && reply.error.code === 'BYRE_WORKER_UNKNOWN')) continue
    await printError(`byre: ${reply.member}: ${reply.error.message}\n`)
  }
  for (const member of silent) await printError(`byre: ${noReply(member)}\n`)
}

function noReply(member: string): string {
  return `${member} did not reply`
}

function hostOf(member: string): string {
  return member.split('/', 1)[0] ?? member
}

function exitCode(supervisors: readonly SupervisorStatus[], { herd, silent }: FleetReplies): ExitCode {
  if (supervisors.length === 0 && silent.length === 0) throw noSupervisors(herd)
  const workers = supervisors.flatMap(({ workers }) => workers)
  if (workers.some(({ state }) => state === 'quarantined')) return EXIT.failed
  return supervisors.length === 0 || silent.length > 0 ? EXIT.unreachable : EXIT.ok
}

function noSupervisors(herd: string): ByreError {
  return new ByreError(
    'BYRE_CONTROL_UNREACHABLE',
    `Cannot find a supervisor of herd '${herd}' on this bus: no reply. Control over Redis needs control.secret (or overRedis: 'unsigned') in the config, and the same secret on both sides.`,
  )
}

/** Sends the command to the fleet. Rejects with BYRE_USAGE for an invalid bus URL, and with BYRE_CONTROL_UNREACHABLE when the
 *  server is unreachable. */
async function sendToFleet(flags: ControlFlags, command: FleetCommand): Promise<FleetReplies> {
  const config = await configOf(flags.config)
  const herd = typeof config?.['name'] === 'string' ? config['name'] : undefined
  if (herd === undefined)
    throw new ByreError(
      'BYRE_USAGE',
      'Cannot determine the herd: there is no byre.config.* in this folder. Pass --config.',
    )
  const url = busUrl(flags.bus ?? '')
  let down = 'no connection'
  const bus = await openRedisBus({
    herd,
    server: { url },
    env: process.env,
    messageBytes: 16 * 1024 * 1024,
    buffer: 1000,
    clock: systemClock,
    onEvent: (event) => {
      if (event.event === 'bus-down') down = event.reason
    },
  })
  try {
    return await collectReplies(bus, herd, secretOf(config), command)
  } catch (error) {
    if (error instanceof ByreError && error.code === 'BYRE_CONTROL_UNREACHABLE')
      throw new ByreError(error.code, `${error.message} (${down})`)
    throw error
  } finally {
    await bus.close()
  }
}

async function collectReplies(
  bus: HostBus,
  herd: string,
  secret: string | undefined,
  { worker = WHOLE_HERD, action, args, by }: FleetCommand,
): Promise<FleetReplies> {
  const id = randomUUID()
  const replyTo = `system._reply.${randomBytes(12).toString('hex')}`
  const subscription = bus.subscribe(replyTo)
  await within(subscription.ready, REPLY_TIMEOUT_MS)
  const expected = await within(bus.members?.list() ?? Promise.resolve([]), REPLY_TIMEOUT_MS)
  const command = { id, action, by: `${by}@${hostname()}`, args }
  const transport = { ts: Date.now(), nonce: randomBytes(16).toString('hex'), replyTo }
  const replies = new Map<string, FleetReply>()
  const missing = new Set(expected)
  const end = (): void => subscription.close()
  // Both timers are set once, so a supervisor that keeps replying does not delay the end.
  const limit = systemClock.setTimer(REPLY_TIMEOUT_MS, end)
  let more: Timer | undefined
  const message = commandMessage(herd, worker, command, transport, secret)
  try {
    await bus.publishSystem(`system.${worker}.control`, message)
    for await (const { payload } of subscription) {
      const reply = readReply(payload, id, herd, secret)
      if (reply === undefined) continue
      replies.set(reply.member, reply)
      missing.delete(reply.member)
      if (missing.size === 0) more ??= systemClock.setTimer(EXTRA_REPLIES_MS, end)
    }
  } finally {
    limit.cancel()
    more?.cancel()
  }
  return { herd, replies: [...replies.values()], silent: [...missing] }
}

async function within<T>(ready: Promise<T>, limitMs: number): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = systemClock.setTimer(limitMs, () =>
      reject(
        new ByreError(
          'BYRE_CONTROL_UNREACHABLE',
          `Cannot reach the herd: the Redis server did not answer within ${limitMs / 1000} s. Check --bus.`,
        ),
      ),
    )
    ready.then(resolve, reject).finally(() => timer.cancel())
  })
}

/** Accepts `redis://host` without a password, or `@FILE` for a file with the address. Every user of the host can read the
 *  command line, so a password in it is refused. */
function busUrl(given: string): string {
  if (given.startsWith('@')) return urlOfFile(given.slice(1))
  let password: string
  try {
    password = new URL(given).password
  } catch {
    throw new ByreError(
      'BYRE_USAGE',
      "Cannot use --bus: it must be a URL such as 'redis://host:6379', or '@FILE' for a file that contains one.",
    )
  }
  if (password === '') return given
  throw new ByreError(
    'BYRE_USAGE',
    'Cannot use --bus with a password: every user of this host can read the command line. Set REDIS_URL to the URL, or write it to a file with mode 0600 and pass --bus @FILE.',
  )
}

function urlOfFile(path: string): string {
  const others = statSync(path).mode & 0o077
  if (others === 0) return readFileSync(path, 'utf8').trim()
  throw new ByreError(
    'BYRE_USAGE',
    `Cannot use --bus @${path}: other users can access the file (mode bits ${others.toString(8).padStart(3, '0')}). Run chmod 600 on it.`,
  )
}

function secretOf(config: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const control = config?.['control']
  const own = isRecord(control) && typeof control['secret'] === 'string' ? control['secret'] : undefined
  return process.env['BYRE_CONTROL_SECRET'] ?? own
}
