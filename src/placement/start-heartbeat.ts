// The heartbeat of a guest: what the watch for its stalls needs, taken from one run of a thread or process.

import type { Heartbeat } from '../watch/stall/heartbeat.ts'
import type { LaunchRequest, Whereabouts } from '../herd/placement.ts'
import type { ChildHost } from './child-handle.ts'
import type { Link } from './wire/link.ts'
import { line } from './wire/protocol.ts'
import type { Init } from './wire/protocol.ts'

export interface Pulse {
  readonly kind: Init['kind']
  readonly request: LaunchRequest
  readonly parts: ChildHost
  readonly where: Whereabouts | undefined
  readonly link: Link
  /** It ended while the code was loaded. */
  readonly over: () => boolean
}

/** It may hold its own loop as well, which harms nobody else. Undefined: nobody asks for that, or it cannot be seen. */
export async function startHeartbeat(pulse: Pulse): Promise<Heartbeat | undefined> {
  const { kind, request, parts, where, link } = pulse
  const { clock, logOf, ejectStalled, stalled } = parts
  const { spec, events } = request
  if (!spec.stall.detect || where?.tid === undefined) return undefined
  const { watchChildStalls } = await import('../watch/stall/child-stalls.ts')
  if (pulse.over()) return undefined
  return watchChildStalls({
    clock,
    spec,
    kind,
    pid: where.pid,
    tid: where.tid,
    log: logOf(spec.name),
    ask(number) {
      link.send(line('beat', number))
      link.flush()
    },
    onStalled: stalled,
    eject: (why) => ejectStalled(spec, why),
    charge: (exit) => events.charged(exit),
  })
}
