// The energy report: converts meter readings of any energy unit to one unit and sums them.

import { writeJson } from '../lib/files.js'
import { math } from '../lib/formulas.js'
import { forEachItem } from '../lib/queue-loop.js'
import { relay } from '../lib/relay.js'

/**
 * @typedef {{ relay: string, unit: string, report: string }} Config
 * @typedef {{ value: number, unit: string }} Reading
 */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const { unit, report } = ctx.config
  const client = await ctx.use(relay(ctx.config.relay))
  let readings = 0
  let sum = 0
  await forEachItem(ctx, client, 'report.readings', async (/** @type {Reading} */ reading) => {
    sum += math.unit(reading.value, reading.unit).toNumber(unit)
    readings++
    await writeJson(report, { readings, sum, unit })
  })
}
