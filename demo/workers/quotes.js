// Answers price requests from other workers.

import { database, relay, stopped } from '../lib/index.js'

/**
 * @typedef {{ relay: string, database: string, products: number }} Config
 * @typedef {{ productId: number, quantity: number, tier?: string }} Question
 */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  const db = await ctx.use(database(ctx.config.database))
  if ((await db.rows('product').count()) === 0) await seed(db, ctx.config.products)

  /** @param {Question} question */
  const quote = async ({ productId, quantity, tier = 'standard' }) => {
    const product = await db.rows('product').findOneBy({ id: productId })
    if (product === null) throw new Error(`no product ${productId}`)
    const rule = await db.rows('price_rule').findOneBy({ productId, tier })
    const discountPermille = Number(rule?.discountPermille ?? 0)
    client.count(ctx.name)
    return { cents: Math.round((product.priceCents * quantity * (1000 - discountPermille)) / 1000) }
  }

  const release = client.serve('price.quote', quote)
  await stopped(ctx.signal)
  release()
}

/** @param {import('../lib/orm.js').Database} db @param {number} products */
async function seed(db, products) {
  const ids = Array.from({ length: products }, (_, i) => i + 1)
  await db
    .rows('product')
    .insert(ids.map((id) => ({ id, name: `product ${id}`, priceCents: 100 + id * 7, stock: 100 })))
  await db
    .rows('price_rule')
    .insert(ids.map((id) => ({ id, productId: id, tier: 'gold', discountPermille: 100 })))
  await db.save()
}
