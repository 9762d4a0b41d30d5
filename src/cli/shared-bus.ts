// Opens the Redis bus of a supervisor and logs its events. Loaded only with a Redis bus.

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
import type { ControlTarget } from '../herd/status.ts'

/** Opens the bus. It is usable at once, even while the server is unreachable. */
export async function openSharedBus(
  herd: ResolvedHerd,
  log: SupervisorLog,
  options: EmbeddedBusOptions,
): Promise<HostBus> {
  const onEvent = (event: BusEvent): void => logEvent(log, event)
  return openRedisBus({ ...options, herd: herd.name, server: serverOf(herd.bus), env: process.env, onEvent })
}

/** Answers control messages on the bus if the config allows them. Returns a function that stops it. */
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

/** Creates the leases of workers on the bus. */
export function createLeasing(bus: HostBus): Leasing {
  return new Leasing(bus)
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

function logEvent(log: SupervisorLog, event: BusEvent): void {
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
        `the subscriber connection to Redis was lost for ${event.until - event.from} ms: messages may have been lost`,
      )
      return
    case 'bus-refused':
      log.root.error({ ...event }, `Redis refused the subscription to ${event.pattern}: ${event.reason}`)
      return
    case 'bus-lease-refused':
      log.root.error({ ...event }, `Redis refuses the lease of ${event.lease}: ${event.reason}`)
      return
    case 'bus-malformed':
      log.root.warn({ ...event }, `ignored a malformed message on ${event.topic}`)
      return
    case 'bus-dead-letter':
      log.root.error(
        { ...event },
        `dead-lettered a job of stream ${event.stream} after ${event.deliveries} deliveries: ${event.reason}`,
      )
      return
    case 'bus-stream':
      log.root.warn(
        { ...event },
        `Redis temporarily refuses reads of stream ${event.stream}: ${event.reason}`,
      )
      return
    default:
      assertNever(event)
  }
}

function assertNever(event: never): never {
  throw new ByreError('BYRE_INTERNAL', `Cannot handle ${JSON.stringify(event)}: its kind is unknown.`)
}
