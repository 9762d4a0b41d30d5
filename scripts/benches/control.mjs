// The control round trip over the local socket, with 18 workers hosted: a read and an action, over a kept-alive connection
// and over a fresh one each time.
import { Agent, request } from 'node:http'
import { quantile } from '../../build/src/measure/stats.js'
import { createHerdFiles } from './lib/herd-files.mjs'
import { startByre } from './lib/hosts.mjs'
import { withHost } from './lib/lanes.mjs'
import { buildResult, claim, figuresOf, tableOf } from './lib/result.mjs'

const REQUESTS = 1000
const WARM_UP = 50
const KINDS = {
  // A level it has already: the action goes the whole way and changes nothing for the next round.
  act: { method: 'POST', path: '/workers/w0001/log-level', body: '{"args":{"level":"info"}}' },
  read: { method: 'GET', path: '/workers' },
}

export const describe = 'control round trip over the local socket: p50 and p99'
export const table = tableOf

export async function run(options) {
  const herd = createHerdFiles({ count: 18, kind: 'lean' })
  const runs = { kept: [], fresh: [] }
  try {
    for (let i = 1; i <= options.runs; i++) {
      options.note(`run ${i}/${options.runs}`)
      await withHost(
        () => startByre(options.node, herd),
        async () => {
          runs.kept.push(await roundTrips(herd.socket, true))
          runs.fresh.push(await roundTrips(herd.socket, false))
        },
      )
    }
  } finally {
    herd.remove()
  }
  const kept = figuresOf('kept-alive', runs.kept)
  const fresh = figuresOf('fresh connection', runs.fresh)
  const worst = (figures) =>
    figures.filter((f) => f.metric.endsWith('P99Ms')).reduce((a, b) => (b.median > a.median ? b : a))
  return buildResult('control', options, {
    settings: { workers: 18, requests: REQUESTS, atOnce: 1 },
    figures: [...kept, ...fresh],
    claims: [
      claim('control round trip p99, kept-alive', worst(kept), 5),
      claim('control round trip p99, fresh connection', worst(fresh), 5),
    ],
  })
}

async function roundTrips(socketPath, keepAlive) {
  const agent = keepAlive ? new Agent({ keepAlive: true, maxSockets: 1 }) : new Agent({ maxSockets: 1 })
  const values = {}
  for (const [name, kind] of Object.entries(KINDS)) {
    const times = []
    for (let i = -WARM_UP; i < REQUESTS; i++) {
      const startedAt = performance.now()
      await roundTrip({ socketPath, agent, ...kind })
      if (i >= 0) times.push(performance.now() - startedAt)
    }
    values[`${name}P50Ms`] = quantile(times, 0.5)
    values[`${name}P99Ms`] = quantile(times, 0.99)
  }
  agent.destroy()
  return values
}

function roundTrip({ socketPath, agent, method, path, body }) {
  return new Promise((resolve, reject) => {
    const headers =
      body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(body.length) }
    const sent = request({ socketPath, agent, method, path, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk))
      response.on('end', () => {
        if (response.statusCode < 300) resolve()
        else reject(new Error(`${method} ${path} answered ${response.statusCode}: ${text.slice(0, 500)}`))
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
