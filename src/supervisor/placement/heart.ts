// The heartbeat of a guest: what the watch for its stalls needs, taken from one run of a thread or process.

import type { GuestHeart } from '../stall/guest-heart.ts'
import type { LaunchRequest, Whereabouts } from './placement.ts'
import type { RemoteParts } from './seat.ts'
import type { Link } from './wire/link.ts'
import { line } from './wire/protocol.ts'
import type { Init } from './wire/protocol.ts'

export interface Pulse {
  readonly kind: Init['kind']
  readonly request: LaunchRequest
  readonly parts: RemoteParts
  readonly where: Whereabouts | undefined
  readonly link: Link
  /** It ended while the code was loaded. */
  readonly over: () => boolean
}

/** It may hold its own loop as well, which harms nobody else. Undefined: nobody asks for that, or it cannot be seen. */
export async function startHeart(pulse: Pulse): Promise<GuestHeart | undefined> {
  const { kind, request, parts, where, link } = pulse
  const { clock, logOf, ejectStalled, stalled } = parts
  const { spec, events } = request
  if (!spec.stall.detect || where?.tid === undefined) return undefined
  const { watchGuestStalls } = await import('../stall/guest-stalls.ts')
  if (pulse.over()) return undefined
  return watchGuestStalls({
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
