// A run that subscribed on a bus behind a network is not ready before the server knows: until then it would miss what
// its readiness promises others it hears. Waiting is no
// failure of the worker's: its start time-out begins anew. On the embedded bus nothing ever waits here.

import type { ScopedBus } from '../bus/bus.ts'

/** What a run waits for besides its gate, for status: `['bus']`, or nothing. */
export function awaited(gate: readonly string[], bus: ScopedBus | undefined): readonly string[] {
  return bus?.acknowledged === undefined ? gate : [...gate, 'bus']
}

/** Calls `ready` when the server acknowledged or refused what was subscribed so far; at once when nothing waits. */
export function whenHeard(bus: ScopedBus | undefined, ready: () => void): void {
  const acknowledged = bus?.acknowledged
  if (acknowledged === undefined) ready()
  else void acknowledged.then(ready)
}
