// Waits for the stop of a worker.

/**
 * Resolves when the signal aborts. A worker that works only in callbacks awaits it at the end of `run`.
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function stopped(signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
