// Adds the customer and a price (requested from `quotes`) to raw orders, and sends the result to the next workers.

import { setTimeout as sleep } from 'node:timers/promises'
import { database, forEachItem, relay, send } from '../lib/index.js'

/**
 * @typedef {{ relay: string, database: string, customers: number }} Config
 * @typedef {{ id: number, customerId: number, productId: number, quantity: number }} Order
 */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  const db = await ctx.use(database(ctx.config.database))
  if ((await db.rows('customer').count()) === 0) await seed(db, ctx.config.customers)

  /** @param {number} id */
  const customerOf = async (id) =>
    (await db.rows('customer').findOneBy({ id })) ?? { id, name: 'unknown', tier: 'standard' }

  /** Repeats the request until there is an answer, because `quotes` may be restarting. @param {object} question */
  const priceOf = async (question) => {
    while (!ctx.signal.aborted) {
      const answer = await client.ask('price.quote', question, { timeoutMs: 2000 }).catch((error) => {
        ctx.log.debug({ why: error.message }, 'no price yet')
      })
      if (answer !== undefined) return Number(answer.cents)
      await sleep(100, undefined, { signal: ctx.signal }).catch(() => {})
    }
    return undefined
  }

  /** @param {Order} order */
  const enrich = async (order) => {
    const customer = await customerOf(order.customerId)
    const { productId, quantity } = order
    const cents = await priceOf({ productId, quantity, tier: customer.tier })
    if (cents === undefined) {
      await client.put('orders', [order]) // The worker is stopping; the next run processes the order.
      return
    }
    const event = { order: order.id, customer: customer.name, tier: customer.tier, quantity, cents }
    await send(ctx, client, 'enriched', [event])
    await send(ctx, client, 'webhooks', [{ id: `order-${order.id}`, event }])
    await send(ctx, client, 'audit', [{ what: 'order enriched', order: order.id, cents }])
  }

  const release = client.serve('customer.lookup', ({ id }) => customerOf(Number(id)))
  try {
    await forEachItem(ctx, client, 'orders', enrich)
  } finally {
    release()
  }
}

/** @param {import('../lib/orm.js').Database} db @param {number} customers */
async function seed(db, customers) {
  const rows = Array.from({ length: customers }, (_, i) => ({
    id: i + 1,
    name: `customer ${i + 1}`,
    tier: i % 4 === 0 ? 'gold' : 'standard',
  }))
  await db.rows('customer').insert(rows)
  await db.save()
}
