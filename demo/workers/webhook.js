// Delivers webhooks over HTTP in order, with retries and backoff. Webhooks that cannot be delivered go to `dead-letter`.

import http from 'node:http' // not fetch, whose first use loads 8 MB of undici
import { setTimeout as sleep } from 'node:timers/promises'
import { forEachItem, relay, send } from '../lib/index.js'

/**
 * @typedef {{ relay: string, url: string, retries: number, backoffMs: number, timeoutMs: number }} Config
 * @typedef {{ id: string, event: unknown, rounds?: number }} Hook
 */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const { url, retries, backoffMs, timeoutMs } = ctx.config
  const client = await ctx.use(relay(ctx.config.relay))
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2 })

  /** @param {Hook} hook */
  const deliver = async (hook) => {
    let why = ''
    for (let attempt = 1; attempt <= retries && !ctx.signal.aborted; attempt++) {
      const status = await post(agent, url, hook, timeoutMs, ctx.signal).catch((error) =>
        String(error.code ?? error.message),
      )
      if (typeof status === 'number' && status < 300) return
      why = `${status}`
      if (typeof status === 'number' && status < 500 && status !== 429) break // a retry would fail as well
      ctx.log.debug({ hook: hook.id, attempt, why }, 'not delivered')
      await sleep(backoffMs * 2 ** (attempt - 1) * (0.5 + Math.random()), undefined, {
        signal: ctx.signal,
      }).catch(() => {})
    }
    if (ctx.signal.aborted) return client.put('webhooks', [hook])
    ctx.log.warn({ hook: hook.id, attempts: retries, why }, 'not delivered; moved to the dead letters')
    return send(ctx, client, 'dead-letters', [hook])
  }

  try {
    await forEachItem(ctx, client, 'webhooks', deliver)
  } finally {
    agent.destroy()
  }
}

/**
 * @param {http.Agent} agent
 * @param {string} url
 * @param {Hook} hook
 * @param {number} timeoutMs
 * @param {AbortSignal} signal
 * @returns {Promise<number>} the HTTP status
 */
function post(agent, url, hook, timeoutMs, signal) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'idempotency-key': hook.id }
    const request = http.request(
      url,
      { method: 'POST', agent, headers, timeout: timeoutMs, signal },
      (response) => {
        response
          .resume()
          .once('end', () => resolve(response.statusCode ?? 0))
          .once('error', reject)
      },
    )
    request.once('timeout', () =>
      request.destroy(Object.assign(new Error('no answer in time'), { code: 'TIMEOUT' })),
    )
    request.once('error', reject)
    request.end(JSON.stringify(hook.event))
  })
}
