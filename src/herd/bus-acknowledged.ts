// A run that subscribed on a networked bus is ready only once the server has acknowledged its subscriptions: before that it
// would miss messages that others send because it is ready. This wait is not charged to the worker: its start timeout is
// extended. On the embedded bus nothing waits here.

import type { ScopedBus } from '../bus/bus.ts'

/** For the status: the conditions that a run waits for, which are the workers of its gate and `'bus'`. */
export function awaited(gate: readonly string[], bus: ScopedBus | undefined): readonly string[] {
  return bus?.acknowledged === undefined ? gate : [...gate, 'bus']
}

/** Calls `ready` when the server has acknowledged or refused the subscriptions made so far; at once if none is pending. */
export function whenSubscribed(bus: ScopedBus | undefined, ready: () => void): void {
  const acknowledged = bus?.acknowledged
  if (acknowledged === undefined) ready()
  else void acknowledged.then(ready)
}
