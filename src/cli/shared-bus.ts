// The Redis bus of a supervise process, with what it tells as lines of the log. Loaded only with such a bus.

import { hostname } from 'node:os'
import { systemClock } from '../base/clock.ts'
import { ByreError } from '../base/errors.ts'
import type { BusEvent, HostBus } from '../bus/bus.ts'
import type { BusServer } from '../bus/redis/address.ts'
import { openRedisBus } from '../bus/redis.ts'
import type { EmbeddedBusOptions } from '../bus/router.ts'
import type { ResolvedHerd } from '../config/types.ts'
import { startFleetControl } from '../control/fleet.ts'
import { Leasing } from '../herd/leasing.ts'
import type { SupervisorLog } from '../log/herd-log.ts'
import type { SupervisorOptions } from '../supervisor/options.ts'
import type { ControlTarget } from '../herd/status.ts'

/** Usable at once, whether the server is there or not. */
export async function openSharedBus(
  herd: ResolvedHerd,
  log: SupervisorLog,
  options: EmbeddedBusOptions,
): Promise<HostBus> {
  const onEvent = (event: BusEvent): void => tell(log, event)
  return openRedisBus({ ...options, herd: herd.name, server: serverOf(herd.bus), env: process.env, onEvent })
}

/** Answers control messages on the bus, if the config lets it. Returns its release. */
export function openFleetControl(
  herd: ResolvedHerd,
  bus: HostBus,
  target: ControlTarget,
  log: SupervisorLog,
  group: string,
): () => void {
  const { secret, overRedis } = herd.control
  if (secret === undefined && overRedis === undefined) return () => {}
  const member = `${hostname()}/${group}/${process.pid}`
  return startFleetControl({
    bus,
    herd: herd.name,
    member,
    target,
    secret,
    log: log.root,
    clock: systemClock,
  })
}

/** What a supervisor on a shared bus has besides. */
export function withSharedBus(bus: HostBus): Pick<SupervisorOptions, 'leasing'> {
  return { leasing: new Leasing(bus) }
}

function serverOf(bus: ResolvedHerd['bus']): BusServer {
  switch (bus.kind) {
    case 'redis':
      return { url: bus.url }
    case 'sentinel':
      return { sentinels: bus.sentinels, name: bus.name }
    case 'cluster':
      return { cluster: bus.nodes }
    case 'embedded':
      throw new ByreError('BYRE_INTERNAL', `Cannot open a shared bus of kind '${bus.kind}'.`)
    default:
      return assertNever(bus)
  }
}

function tell(log: SupervisorLog, event: BusEvent): void {
  switch (event.event) {
    case 'bus-up':
      log.root.info({ ...event }, `the ${event.connection} connection to Redis is up`)
      return
    case 'bus-down':
      log.root.warn({ ...event }, `no ${event.connection} connection to Redis: ${event.reason}`)
      return
    case 'bus-gap':
      log.root.warn(
        { ...event },
        `the subscriber connection to Redis was lost for ${event.until - event.from} ms: messages may be missing`,
      )
      return
    case 'bus-refused':
      log.root.error({ ...event }, `Redis refused the subscription to ${event.pattern}: ${event.reason}`)
      return
    case 'bus-lease-refused':
      log.root.error({ ...event }, `Redis refuses the lease of ${event.lease}: ${event.reason}`)
      return
    case 'bus-malformed':
      log.root.warn({ ...event }, `a message on ${event.topic} is no envelope and was ignored`)
      return
    case 'bus-dead-letter':
      log.root.error(
        { ...event },
        `a job of stream ${event.stream} was given up after ${event.deliveries} deliveries: ${event.reason}`,
      )
      return
    case 'bus-stream':
      log.root.warn({ ...event }, `Redis refuses to read stream ${event.stream} for now: ${event.reason}`)
      return
    default:
      assertNever(event)
  }
}

function assertNever(event: never): never {
  throw new ByreError('BYRE_INTERNAL', `Cannot tell of a bus event: unknown kind ${JSON.stringify(event)}.`)
}
