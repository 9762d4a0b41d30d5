// Waiting for the end.

/**
 * Resolves when the signal aborts: the last line of a worker that lives by its callbacks.
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function stopped(signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
