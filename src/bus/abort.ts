// Shares one abort listener per signal: a worker passes its signal to dozens of subscriptions and requests, and Node warns
// of a leak at the eleventh listener of an AbortSignal. The listener is removed with the last callback, because Node keeps
// signals of AbortSignal.any() and AbortSignal.timeout() alive while they have a listener.

interface Entry {
  readonly fns: Set<() => void>
  readonly listener: () => void
}

const entries = new WeakMap<AbortSignal, Entry>()

/** Calls `fn` once when `signal` aborts; the signal must not be aborted yet. `fn` must not throw. Returns a function that
 *  removes the callback. */
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
