// The forecast: fits a straight line to the latest points by least squares and extrapolates one step.

import { writeJson } from '../lib/files.js'
import { math } from '../lib/formulas.js'
import { forEachItem } from '../lib/queue-loop.js'
import { relay } from '../lib/relay.js'

/** @typedef {{ relay: string, window: number, report: string }} Config */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const { window, report } = ctx.config
  const client = await ctx.use(relay(ctx.config.relay))
  /** @type {number[]} */
  const points = []
  await forEachItem(ctx, client, 'report.points', async ({ value }) => {
    points.push(Number(value))
    if (points.length > window) points.shift()
    if (points.length > 2) await writeJson(report, { points: points.length, next: forecast(points) })
  })
}

/** @param {number[]} points at least two @returns {number} */
export function forecast(points) {
  const rows = points.map((_, i) => [1, i])
  const transposed = math.transpose(rows)
  const solved = math.lusolve(math.multiply(transposed, rows), math.multiply(transposed, points))
  const [base = 0, slope = 0] = /** @type {number[]} */ (math.flatten(solved))
  return base + slope * points.length
}
