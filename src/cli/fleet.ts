// `--bus`: asks every supervisor of the herd over the shared bus, says which host answered, and who did not.

import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { systemClock } from '../base/clock.ts'
import type { Timer } from '../base/clock.ts'
import { isRecord } from '../base/check.ts'
import { ByreError } from '../base/errors.ts'
import type { HostBus } from '../bus/bus.ts'
import { openRedisBus } from '../bus/redis.ts'
import { commandMessage, readReply, WHOLE_HERD } from '../control/fleet-message.ts'
import type { FleetReply } from '../control/fleet-message.ts'
import type { ControlAction } from '../herd/status.ts'
import { configOf } from './control-client.ts'
import type { ControlFlags } from './control-client.ts'

export interface FleetQuestion {
  /** Undefined asks each supervisor about itself. */
  readonly worker: string | undefined
  readonly action: ControlAction
  readonly args?: Readonly<Record<string, unknown>> | undefined
  /** Who asks; for the logs. */
  readonly by: string
}

export interface FleetAnswer {
  readonly herd: string
  readonly replies: readonly FleetReply[]
  /** `<host>/<group>/<pid>` of those that were there within the last minute and did not answer. */
  readonly silent: readonly string[]
}

/** Everybody gets this long to answer, milliseconds. */
const ANSWER_MS = 5000
/** With everybody known heard, this long for those that are not known, milliseconds. */
const MORE_MS = 100

/** Asks the fleet. Rejects BYRE_USAGE for a bus that is none, BYRE_CONTROL_UNREACHABLE when the server is away. */
export async function askFleet(flags: ControlFlags, question: FleetQuestion): Promise<FleetAnswer> {
  const config = await configOf(flags.config)
  const herd = typeof config?.['name'] === 'string' ? config['name'] : undefined
  if (herd === undefined)
    throw new ByreError(
      'BYRE_USAGE',
      'Cannot tell which herd is meant: there is no byre.config.* in this folder. Pass --config.',
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
    return await ask(bus, herd, secretOf(config), question)
  } catch (error) {
    if (error instanceof ByreError && error.code === 'BYRE_CONTROL_UNREACHABLE')
      throw new ByreError(error.code, `${error.message} (${down})`)
    throw error
  } finally {
    await bus.close()
  }
}

async function ask(
  bus: HostBus,
  herd: string,
  secret: string | undefined,
  { worker = WHOLE_HERD, action, args, by }: FleetQuestion,
): Promise<FleetAnswer> {
  const id = randomUUID()
  const replyTo = `system._reply.${randomBytes(12).toString('hex')}`
  const subscription = bus.subscribe(replyTo)
  await within(subscription.ready, ANSWER_MS)
  const expected = await within(bus.members?.list() ?? Promise.resolve([]), ANSWER_MS)
  const command = { id, action, by: `${by}@${hostname()}`, args }
  const transport = { ts: Date.now(), nonce: randomBytes(16).toString('hex'), replyTo }
  const replies = new Map<string, FleetReply>()
  const missing = new Set(expected)
  const end = (): void => subscription.close()
  // both are set once: whoever goes on replying keeps nobody waiting
  const limit = systemClock.setTimer(ANSWER_MS, end)
  let more: Timer | undefined
  const message = commandMessage(herd, worker, command, transport, secret)
  try {
    await bus.publishSystem(`system.${worker}.control`, message)
    for await (const { payload } of subscription) {
      const reply = readReply(payload, id, herd, secret)
      if (reply === undefined) continue
      replies.set(reply.member, reply)
      missing.delete(reply.member)
      if (missing.size === 0) more ??= systemClock.setTimer(MORE_MS, end)
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

/** `redis://host` without a password, or `@FILE` with the whole address; a password on the command line is for all to see. */
function busUrl(given: string): string {
  if (given.startsWith('@')) return urlOfFile(given.slice(1))
  let password: string
  try {
    password = new URL(given).password
  } catch {
    throw new ByreError(
      'BYRE_USAGE',
      "Cannot use --bus: it must be an address such as 'redis://host:6379', or '@FILE' for a file that holds one.",
    )
  }
  if (password === '') return given
  throw new ByreError(
    'BYRE_USAGE',
    'Cannot take a password on the command line: every user of this host can read it there. Put the address into REDIS_URL, or into a file of mode 0600 and pass --bus @FILE.',
  )
}

function urlOfFile(path: string): string {
  const others = statSync(path).mode & 0o077
  if (others === 0) return readFileSync(path, 'utf8').trim()
  throw new ByreError(
    'BYRE_USAGE',
    `Cannot use --bus @${path}: other users may read it (mode ${others.toString(8).padStart(3, '0')} of 077). Run chmod 600 on it.`,
  )
}

function secretOf(config: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const control = config?.['control']
  const own = isRecord(control) && typeof control['secret'] === 'string' ? control['secret'] : undefined
  return process.env['BYRE_CONTROL_SECRET'] ?? own
}
