// How a worker of the demo works through a queue of the relay, and how one sends to the next.

/**
 * @typedef {import('byre/worker').WorkerContext<any>} Context
 * @typedef {import('./relay.js').RelayClient} RelayClient
 */

/**
 * For an eager worker: waits for items until it must stop. The items taken are worked through before it returns.
 * @param {Context} ctx
 * @param {RelayClient} client
 * @param {string} queue
 * @param {(item: any) => unknown} work  A throw fails the worker.
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
 * For a dormant worker: works until the queue is empty and returns how many items that was. It was woken by the
 * doorbell message beside each `send`, or by its slow poll (`every`), which also serves senders in other processes,
 * whose doorbell the embedded bus does not carry.
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
      // a bell that rang meanwhile means there is more; one that rings from now on starts the next run
      if (items.length === 0 && (bell.queued === 0 || ctx.signal.aborted)) return done
    }
  } finally {
    bell.close()
  }
}

/**
 * Puts items into a queue and rings its doorbell on the bus. What a full queue refused is logged, not retried.
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
