// The herd of the demo: 18 workers in group `main`, three in group `reports` that share one heavy import, and two in groups
// of their own, for the reasons given below. scripts/demo runs it. To run it by hand, start `node demo/world.mjs` and
// `byre supervise --config demo/byre.config.js --group main` in parallel.

import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineHerd } from 'byre'

const dir = process.env.DEMO_DIR ?? join(tmpdir(), 'byre-demo')
const url = process.env.DEMO_RECEIVER ?? 'http://127.0.0.1:8088/hook'
const relay = join(dir, 'relay.sock')
/** @param {string} name */
const file = (name) => join(dir, name)
// An SQLite file has one writer, so each worker that stores rows has its own file.
/** @param {string} name */
const database = (name) => join(dir, 'db', `${name}.sqlite`)

/** Why a worker of this config is not in `main`; scripts/demo prints it. @type {Record<string, string>} */
export const outside = {
  broker:
    'holds the connections of its clients, and a restart of its process would drop all of them, so no other worker shares that process',
  crunch:
    'uses tens of milliseconds of CPU per answer, which would delay every other worker of a shared loop',
}

export default defineHerd({
  name: process.env.DEMO_HERD ?? 'demo',
  defaults: { group: 'main', restart: 'on-failure' },
  groups: { main: {}, reports: {}, broker: {}, crunch: {} },
  workers: {
    // Always running: they hold a connection, watch a file or wait on a queue.
    webhook: {
      module: './workers/webhook.js',
      config: { relay, url, retries: 4, backoffMs: 20, timeoutMs: 1000 },
    },
    dirwatch: { module: './workers/dirwatch.js', config: { relay, inbox: file('inbox') } },
    logtail: {
      module: './workers/logtail.js',
      config: { relay, from: file('app.log'), to: file('forwarded.log') },
    },
    'tcp-lines': {
      module: './workers/tcp-lines.js',
      config: { relay, portFile: file('tcp-lines.json') },
      ready: 'call',
    },
    reconcile: {
      module: './workers/reconcile.js',
      config: { relay, database: database('reconcile'), invoices: 200, kept: 10_000 },
    },
    quotes: { module: './workers/quotes.js', config: { relay, database: database('quotes'), products: 50 } },
    enrich: {
      module: './workers/enrich.js',
      config: { relay, database: database('enrich'), customers: 50 },
      after: ['quotes'],
    },
    mutate: {
      module: './workers/mutate.js',
      config: { relay, database: database('mutate'), products: 50, kept: 10_000 },
    },
    canary: {
      module: './workers/canary.js',
      config: { relay, report: file('canary.json') },
      after: ['quotes', 'enrich'],
    },
    dedupe: { module: './workers/dedupe.js', config: { relay, to: file('lines.log'), window: 10_000 } },

    // Dormant until a doorbell of their queue arrives. The slow poll finds items from senders in other processes.
    thumbnail: {
      module: './workers/thumbnail.js',
      config: { relay, inbox: file('inbox'), thumbs: file('thumbs'), done: file('done') },
      activation: { topics: ['queue.files'], every: '2s' },
    },
    'audit-log': {
      module: './workers/audit-log.js',
      config: { relay, file: file('audit.ndjson') },
      activation: { topics: ['queue.audit'], every: '2s' },
    },
    'dead-letter': {
      module: './workers/dead-letter.js',
      config: {
        relay,
        database: database('dead-letter'),
        parked: file('parked.ndjson'),
        waitMs: 500,
        rounds: 3,
      },
      activation: { topics: ['queue.dead-letters'], every: '1s' },
    },
    rollup: {
      module: './workers/rollup.js',
      config: { relay, database: database('rollup'), report: file('rollup.json') },
      activation: { every: '1s' },
    },

    // Periodic and cron jobs, dormant in between.
    expire: {
      module: './workers/expire.js',
      config: { relay, database: database('expire') },
      activation: { every: '1s' },
    },
    metrics: {
      module: './workers/metrics.js',
      config: { relay, folder: dir, to: file('metrics/samples.ndjson'), maxBytes: 1_000_000 },
      activation: { every: '2s' },
    },
    heartbeat: {
      module: './workers/heartbeat.js',
      config: { relay, file: file('heartbeat.json') },
      activation: { every: '1s' },
    },
    cleanup: {
      module: './workers/cleanup.js',
      config: {
        relay,
        folders: [
          { path: file('done'), keepMs: 1000 },
          { path: file('thumbs'), keepMs: 600_000 },
        ],
      },
      activation: { cron: '*/2 * * * * *' }, // six fields, seconds first
    },

    // Three workers that share one heavy import, a mathematics library. They have a separate group, because otherwise the
    // process of `main` would load it too.
    margin: {
      module: './workers/margin.js',
      group: 'reports',
      config: { relay, formula: '(price - cost) / price', window: 1000, report: file('reports/margin.json') },
    },
    energy: {
      module: './workers/energy.js',
      group: 'reports',
      config: { relay, unit: 'kWh', report: file('reports/energy.json') },
    },
    forecast: {
      module: './workers/forecast.js',
      group: 'reports',
      config: { relay, window: 50, report: file('reports/forecast.json') },
    },

    // Separate failure domains; the reasons are in `outside` above.
    broker: {
      module: './workers/broker.js',
      group: 'broker',
      config: { portFile: file('broker.json') },
      ready: 'call',
    },
    crunch: { module: './workers/crunch.js', group: 'crunch', config: { relay } },
  },
})
