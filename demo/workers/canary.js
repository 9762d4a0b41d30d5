// Sends the requests of a customer to other workers and records the round-trip times, so that a slowdown is detected before
// customers notice it.

import { relay, stopped, writeJson } from '../lib/index.js'

/** @typedef {{ relay: string, report: string }} Config */

const KEPT = 200
const QUESTIONS = [
  { service: 'price.quote', payload: { productId: 1, quantity: 1 } },
  { service: 'customer.lookup', payload: { id: 1 } },
]

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  /** @type {number[]} */
  const roundTripsMs = []
  let failures = 0

  /** @param {typeof QUESTIONS[number]} question */
  const ask = async ({ service, payload }) => {
    const askedAt = performance.now()
    try {
      await client.ask(service, payload, { timeoutMs: 1000 })
      roundTripsMs.push(performance.now() - askedAt)
      if (roundTripsMs.length > KEPT) roundTripsMs.shift()
      client.count(ctx.name)
    } catch (error) {
      failures++
      ctx.log.debug({ service, why: String(error) }, 'no answer')
    }
  }

  ctx.every('500ms', async () => {
    for (const question of QUESTIONS) await ask(question)
    const sorted = [...roundTripsMs].sort((a, b) => a - b)
    const at = (/** @type {number} */ share) => sorted[Math.floor(sorted.length * share)]
    await writeJson(ctx.config.report, { n: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), failures })
  })
  await stopped(ctx.signal)
}
