// Applies stock changes. One transaction writes the new stock of the product (with optimistic locking by version) and the
// stock movement that explains it.

import { LessThanOrEqual } from 'typeorm'
import { database, forEachItem, relay } from '../lib/index.js'

/**
 * @typedef {{ relay: string, database: string, products: number, kept: number }} Config
 * @typedef {{ id: number, productId: number, delta: number }} Mutation
 */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  const db = await ctx.use(database(ctx.config.database))
  if ((await db.rows('product').count()) === 0) {
    const ids = Array.from({ length: ctx.config.products }, (_, i) => i + 1)
    await db.rows('product').insert(ids.map((id) => ({ id, name: `product ${id}`, stock: 100 })))
  }
  let changed = false

  /** @param {Mutation} mutation */
  const apply = ({ id, productId, delta }) =>
    db.transaction(async (rows) => {
      if (await rows('stock_move').existsBy({ id })) return
      const product = await rows('product').findOneBy({ id: productId })
      if (product === null || product['stock'] + delta < 0) {
        ctx.log.info(
          { mutation: id, productId, delta },
          'refused: the product does not exist or has not enough stock',
        )
        return
      }
      const { stock, version } = product
      await rows('product').update({ id: productId, version }, { stock: stock + delta, version: version + 1 })
      await rows('stock_move').insert({ id, productId, delta, at: Date.now() })
      changed = true
    })

  const saveChanges = async () => {
    if (!changed) return
    changed = false
    const newest = Number((await db.rows('stock_move').maximum('id')) ?? 0)
    await db.transaction((rows) =>
      rows('stock_move').delete({ id: LessThanOrEqual(newest - ctx.config.kept) }),
    )
    await db.save()
  }
  // One at a time: the last save of a stop waits for that of a tick.
  let saving = Promise.resolve()
  const save = () => (saving = saving.then(saveChanges))
  ctx.every('1s', save)
  try {
    await forEachItem(ctx, client, 'mutations', apply)
  } finally {
    await save()
  }
}
