// Stores sessions with a time to live and deletes expired sessions. Dormant between ticks.

import { LessThanOrEqual } from 'typeorm'
import { database, relay } from '../lib/index.js'

/**
 * @typedef {{ relay: string, database: string }} Config
 * @typedef {{ id: number, token: string, ttlMs: number }} Session
 */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  const db = await ctx.use(database(ctx.config.database))
  const sessions = db.rows('session')
  const now = Date.now()

  /** @type {Session[]} */
  const fresh = await client.take('sessions', { max: 100 })
  if (fresh.length > 0)
    await sessions.upsert(
      fresh.map(({ id, token, ttlMs }) => ({ id, token, expiresAt: now + ttlMs })),
      ['id'],
    )

  const { affected } = await sessions.delete({ expiresAt: LessThanOrEqual(now) })
  const expired = affected ?? 0
  if (fresh.length > 0 || expired > 0) await db.save()
  client.count(ctx.name, expired)
  ctx.log.debug({ fresh: fresh.length, expired }, 'sessions')
}
