// The Redis bus of a supervise process, with what it tells as lines of the log. Loaded only with such a bus.

import { ByreError } from '../base/errors.ts'
import type { BusEvent, HostBus } from '../bus/bus.ts'
import { openRedisBus } from '../bus/redis.ts'
import type { EmbeddedBusOptions } from '../bus/router.ts'
import type { ResolvedHerd } from '../config/types.ts'
import type { SupervisorLog } from '../supervisor/options.ts'

/** Usable at once, whether the server is there or not. Rejects BYRE_UNSUPPORTED for Sentinel and Cluster. */
export async function openSharedBus(
  herd: ResolvedHerd,
  log: SupervisorLog,
  options: EmbeddedBusOptions,
): Promise<HostBus> {
  const { bus } = herd
  if (bus.kind !== 'redis')
    throw new ByreError(
      'BYRE_UNSUPPORTED',
      `Cannot open bus '${bus.kind}': this version has the embedded bus and one standalone Redis server. Set bus: 'embedded' or 'redis://host:6379'.`,
    )
  refuseMissing(herd)
  const onEvent = (event: BusEvent): void => tell(log, event)
  return openRedisBus({ ...options, herd: herd.name, url: bus.url, env: process.env, onEvent })
}

/** What a config with a Redis bus may ask for and this version does not have: refused, not ignored. */
function refuseMissing(herd: ResolvedHerd): void {
  const missing = herd.workers.flatMap(({ name, activation, lease }) => [
    ...(activation.kind === 'lazy' && activation.streams.length > 0
      ? [`workers.${name}.activation.streams`]
      : []),
    ...(lease === undefined ? [] : [`workers.${name}.lease`]),
  ])
  if (Object.keys(herd.control).length > 0) missing.push('control')
  if (missing.length === 0) return
  throw new ByreError(
    'BYRE_UNSUPPORTED',
    `Cannot host this herd: durable streams, leases and control over Redis are not in this version yet, got ${missing.join(', ')}. Remove them; topics and the control socket are there.`,
  )
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
    case 'bus-malformed':
      log.root.warn({ ...event }, `a message on ${event.topic} is no envelope and was ignored`)
      return
    default:
      assertNever(event)
  }
}

function assertNever(event: never): never {
  throw new ByreError('BYRE_INTERNAL', `Cannot tell of a bus event: unknown kind ${JSON.stringify(event)}.`)
}
