// Stores webhooks that could not be delivered and queues them again later. After some rounds they are written to a file for
// a human to handle. Dormant until there is a dead letter.

import { appendJson, database, drainQueue, relay, send } from '../lib/index.js'

/**
 * @typedef {{ relay: string, database: string, parked: string, waitMs: number, rounds: number }} Config
 * @typedef {{ id: string, event: unknown, rounds?: number }} Hook
 */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const { waitMs, rounds, parked } = ctx.config
  const client = await ctx.use(relay(ctx.config.relay))
  const db = await ctx.use(database(ctx.config.database))
  const letters = db.rows('dead_letter')
  let nextId = Number((await letters.maximum('id')) ?? 0) + 1

  const taken = await drainQueue(ctx, client, 'dead-letters', async (/** @type {Hook} */ hook) => {
    const attempts = (hook.rounds ?? 0) + 1
    if (attempts > rounds) return appendJson(parked, { at: Date.now(), hook })
    return letters.insert({ id: nextId++, body: JSON.stringify(hook), attempts, dueAt: Date.now() + waitMs })
  })

  if (taken > 0) await db.save()

  const due = await letters
    .createQueryBuilder()
    .where('dueAt <= :now', { now: Date.now() })
    .limit(100)
    .getMany()
  for (const letter of due) {
    await send(ctx, client, 'webhooks', [{ ...JSON.parse(letter.body), rounds: letter.attempts }])
    await letters.delete({ id: letter.id })
  }
  if (due.length > 0) await db.save()
}
