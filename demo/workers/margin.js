// The margin report: evaluates a user's formula for each order and averages the results.

import { evaluate, math } from '../lib/formulas.js'
import { writeJson } from '../lib/files.js'
import { forEachItem } from '../lib/queue-loop.js'
import { relay } from '../lib/relay.js'

/** @typedef {{ relay: string, formula: string, report: string, window: number }} Config */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  /** @type {number[]} */
  const margins = []
  await forEachItem(ctx, client, 'report.orders', async (order) => {
    margins.push(Number(evaluate(ctx.config.formula, order)))
    if (margins.length > ctx.config.window) margins.shift()
    await writeJson(ctx.config.report, {
      n: margins.length,
      mean: math.mean(margins),
      median: math.median(margins),
    })
  })
}
