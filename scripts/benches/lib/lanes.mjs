// Runs lanes interleaved (A B A B ...), so that what drifts on the machine hits all of them.
import { setTimeout as sleep } from 'node:timers/promises'

export { sleep }

/** `lanes`: {name: async () => values}. Gives {name: [values of each run]}. A failed run ends the bench. */
export async function interleave(lanes, runs, note = () => {}) {
  const results = Object.fromEntries(Object.keys(lanes).map((name) => [name, []]))
  for (let run = 1; run <= runs; run++) {
    // Every second round starts with the other lane: no lane always runs on the warmer machine.
    const order = Object.entries(lanes)
    if (run % 2 === 0) order.reverse()
    for (const [name, measure] of order) {
      note(`run ${run}/${runs}: ${name}`)
      results[name].push(await measure())
    }
  }
  return results
}

/** Starts with `start`, hands the host to `use`, and stops it whatever happens. */
export async function withHost(start, use) {
  const host = await start()
  try {
    return await use(host)
  } finally {
    await host.stop()
  }
}
