// Matches payments with invoices, row by row through the ORM. The database persists across restarts.

import { LessThanOrEqual } from 'typeorm'
import { database, forEachItem, relay } from '../lib/index.js'

/**
 * @typedef {{ relay: string, database: string, invoices: number, kept: number }} Config
 * @typedef {{ id: number, invoiceId: number, cents: number }} Payment
 */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  const db = await ctx.use(database(ctx.config.database))
  if ((await db.rows('invoice').count()) === 0) await seed(db, ctx.config.invoices)
  let changed = false

  /** @param {Payment} payment */
  const reconcile = async ({ id, invoiceId, cents }) => {
    await db.transaction(async (rows) => {
      if (await rows('payment').existsBy({ id })) return // delivered twice, booked once
      await rows('payment').insert({ id, invoiceId, cents, receivedAt: Date.now() })
      const invoice = await rows('invoice').findOneBy({ id: invoiceId })
      if (invoice === null) return
      const paidCents = Number(invoice['paidCents']) + cents
      const status =
        paidCents < invoice['dueCents'] ? 'short' : paidCents > invoice['dueCents'] ? 'over' : 'paid'
      await rows('invoice').update({ id: invoiceId }, { paidCents, status })
    })
    changed = true
  }

  const saveChanges = async () => {
    if (!changed) return
    changed = false
    const newest = Number((await db.rows('payment').maximum('id')) ?? 0)
    await db.transaction((rows) => rows('payment').delete({ id: LessThanOrEqual(newest - ctx.config.kept) }))
    await db.save()
  }
  // One at a time: the last save of a stop waits for that of a tick.
  let saving = Promise.resolve()
  const save = () => (saving = saving.then(saveChanges))
  ctx.every('1s', save)
  try {
    await forEachItem(ctx, client, 'payments', reconcile)
  } finally {
    await save()
  }
}

/** @param {import('../lib/orm.js').Database} db @param {number} invoices */
async function seed(db, invoices) {
  const rows = Array.from({ length: invoices }, (_, i) => ({
    id: i + 1,
    orderId: i + 1,
    dueCents: 1000,
    status: 'open',
  }))
  await db.rows('invoice').insert(rows)
}
