// Sums the enriched orders per day and writes a summary. Dormant between ticks.

import { database, drainQueue, relay, writeJson } from '../lib/index.js'

/** @typedef {{ relay: string, database: string, report: string }} Config */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  const today = new Date(ctx.wake.at).toISOString().slice(0, 10)
  let orders = 0
  let cents = 0
  await drainQueue(ctx, client, 'enriched', (order) => {
    orders++
    cents += order.cents
  })
  if (orders === 0) return

  const db = await ctx.use(database(ctx.config.database))
  const id = Math.floor(ctx.wake.at / 86_400_000)
  const before = (await db.rows('daily_total').findOneBy({ id })) ?? { orders: 0, cents: 0 }
  const total = { id, day: today, orders: before.orders + orders, cents: before.cents + cents }
  await db.rows('daily_total').save(total)
  await db.save()
  await writeJson(ctx.config.report, total)
}
