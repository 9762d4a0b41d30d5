// One listener per signal for everything on the bus that ends with it: a worker passes its one signal to dozens of
// subscriptions and requests, and Node warns of a leak at the eleventh listener of an AbortSignal.

const waiting = new WeakMap<AbortSignal, Set<() => void>>()

/** Calls `fn` once when `signal`, not aborted yet, aborts. `fn` must not throw. Returns its own release. */
export function onAbort(signal: AbortSignal, fn: () => void): () => void {
  const fns = waiting.get(signal) ?? listen(signal)
  fns.add(fn)
  return () => void fns.delete(fn)
}

function listen(signal: AbortSignal): Set<() => void> {
  const fns = new Set<() => void>()
  waiting.set(signal, fns)
  signal.addEventListener(
    'abort',
    () => {
      for (const fn of fns) fn()
      fns.clear()
    },
    { once: true },
  )
  return fns
}
