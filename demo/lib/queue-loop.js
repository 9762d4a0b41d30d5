// Functions with which a worker of the demo processes a queue of the relay and sends items to the next worker.

/**
 * @typedef {import('byre/worker').WorkerContext<any>} Context
 * @typedef {import('./relay.js').RelayClient} RelayClient
 */

/**
 * For an eager worker: waits for items until the worker must stop. Items that were taken are processed before it returns.
 * @param {Context} ctx
 * @param {RelayClient} client
 * @param {string} queue
 * @param {(item: any) => unknown} work  If it throws, the worker fails.
 */
export async function forEachItem(ctx, client, queue, work) {
  while (!ctx.signal.aborted) {
    const items = await client.take(queue, { waitMs: 30_000, signal: ctx.signal })
    for (const item of items) {
      await work(item)
      client.count(ctx.name)
    }
  }
}

/**
 * For a dormant worker: processes items until the queue is empty, and returns the number of items. The worker was woken by
 * the doorbell message of a `send`, or by its slow poll (`every`). The poll finds the items of senders in other processes,
 * because the embedded bus does not carry their doorbells.
 * @param {Context} ctx
 * @param {RelayClient} client
 * @param {string} queue
 * @param {(item: any) => unknown} work
 */
export async function drainQueue(ctx, client, queue, work) {
  const bell = ctx.bus.subscribe(`queue.${queue}`)
  const rings = bell[Symbol.asyncIterator]()
  try {
    for (let done = 0; ; ) {
      while (bell.queued > 0) await rings.next()
      const items = ctx.signal.aborted ? [] : await client.take(queue)
      for (const item of items) await work(item)
      if (items.length > 0) client.count(ctx.name, items.length)
      done += items.length
      // A doorbell that has arrived meanwhile means that there are more items; a later one starts the next run.
      if (items.length === 0 && (bell.queued === 0 || ctx.signal.aborted)) return done
    }
  } finally {
    bell.close()
  }
}

/**
 * Puts items into a queue and sends its doorbell over the bus. Items that a full queue refused are logged, not retried.
 * @param {Context} ctx
 * @param {RelayClient} client
 * @param {string} queue
 * @param {unknown[]} items
 */
export async function send(ctx, client, queue, items) {
  if (items.length === 0) return
  const accepted = await client.put(queue, items)
  if (accepted < items.length) ctx.log.warn({ queue, refused: items.length - accepted }, 'the queue is full')
  await ctx.bus.publish(`queue.${queue}`, { items: accepted })
}
