// One listener per signal for everything on the bus that ends with it: a worker passes its one signal to dozens of
// subscriptions and requests, and Node warns of a leak at the eleventh listener of an AbortSignal. The listener goes with
// the last that waits: Node keeps each signal of AbortSignal.any() and .timeout() alive that has one.

interface Entry {
  readonly fns: Set<() => void>
  readonly listener: () => void
}

const entries = new WeakMap<AbortSignal, Entry>()

/** Calls `fn` once when `signal`, not aborted yet, aborts. `fn` must not throw. Returns its own release. */
export function onAbort(signal: AbortSignal, fn: () => void): () => void {
  const entry = entries.get(signal) ?? listen(signal)
  const { fns, listener } = entry
  fns.add(fn)
  return () => {
    if (!fns.delete(fn) || fns.size > 0 || entries.get(signal) !== entry) return
    entries.delete(signal)
    signal.removeEventListener('abort', listener)
  }
}

function listen(signal: AbortSignal): Entry {
  const fns = new Set<() => void>()
  const listener = (): void => {
    entries.delete(signal)
    for (const fn of fns) fn()
    fns.clear()
  }
  const entry = { fns, listener }
  entries.set(signal, entry)
  signal.addEventListener('abort', listener, { once: true })
  return entry
}
