// The Redis bus beside hand-written ioredis, lane by lane in turn on the same server: messages to a handler, jobs from a
// stream, a round trip. Publishers and consumers are separate processes.
import { fileURLToPath } from 'node:url'
import { spawnClean } from '../../build/src/measure/spawn-clean.js'
import { interleave } from './lib/lanes.mjs'
import { startServer } from './lib/redis-server.mjs'
import { buildResult, claim, figuresOf, ratioOf, tableOf } from './lib/result.mjs'

const CHILD = fileURLToPath(new URL('hosts/redis-child.mjs', import.meta.url))
const COUNT = 100_000
/** BullMQ is slower by an order: fewer, for both. */
const THROUGH_COUNT = 10_000

export const describe =
  'the Redis bus compared with ioredis by hand: messages, jobs and round trips per second'
export const table = tableOf

export async function run(options) {
  const server = await startServer()
  const lane =
    (scenario, count = COUNT) =>
    async () =>
      measure(options.node, scenario, server.port, count)
  try {
    const runs = await interleave(
      {
        messages: lane('messages'),
        jobs: lane('jobs'),
        byreThrough: lane('byre-through', THROUGH_COUNT),
        bullThrough: lane('bull-through', THROUGH_COUNT),
        trips: lane('trips'),
      },
      options.runs,
      options.note,
    )
    const laneOf = (scenario, name) => runs[scenario].map((run) => run[name])
    const [rawMessages, byreMessages] = ['raw', 'byre'].map((name) => laneOf('messages', name))
    const [rawJobs, byreJobs] = ['raw', 'byre'].map((name) => laneOf('jobs', name))
    const messages = ratioOf('messages, byre over raw', 'perSecond', byreMessages, rawMessages)
    const jobs = ratioOf('jobs, byre over raw', 'perSecond', byreJobs, rawJobs)
    const through = ratioOf(
      'added to acked, byre over BullMQ',
      'perSecond',
      runs.byreThrough,
      runs.bullThrough,
    )
    const [bareTrips, rawTrips, byreTrips, signedTrips] = ['bare', 'raw', 'byre', 'signed'].map((name) =>
      laneOf('trips', name),
    )
    const trips = ratioOf('control round trip, byre over raw', 'p50Ms', byreTrips, rawTrips)
    const signed = ratioOf('signed control round trip, byre over raw', 'p50Ms', signedTrips, rawTrips)
    return buildResult('redis', options, {
      settings: { count: COUNT, throughCount: THROUGH_COUNT, payloadBytes: 100, batch: 100 },
      figures: [
        ...figuresOf('messages, ioredis and JSON.parse', rawMessages),
        ...figuresOf('messages, byre', byreMessages),
        messages,
        ...figuresOf('jobs, XREADGROUP and XACK by hand', rawJobs),
        ...figuresOf('jobs, byre', byreJobs),
        jobs,
        ...figuresOf('added, worked and acked, byre', runs.byreThrough),
        ...figuresOf('added, worked and completed, BullMQ', runs.bullThrough),
        through,
        ...figuresOf('round trip, two hops of 7 bytes', bareTrips),
        ...figuresOf('round trip, two hops by hand with the same bytes as JSON', rawTrips),
        ...figuresOf('round trip, state of a worker', byreTrips),
        trips,
        ...figuresOf('round trip, state of a worker, signed', signedTrips),
        signed,
      ],
      claims: [
        claim('messages to handlers over raw', messages, 0.9, 'at least'),
        claim('jobs over a hand-written loop', jobs, 0.8, 'at least'),
        claim('jobs from added to acked over BullMQ', through, 1, 'at least'),
        claim('control round trip over raw', trips, 1.2),
      ],
    })
  } finally {
    await server.stop()
  }
}

/** The last line the child writes is its figures. */
async function measure(node, scenario, port, count) {
  const child = spawnClean([node, CHILD, scenario, `${port}`, `${count}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => (text += chunk))
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code !== 0) throw new Error(`${scenario} exited ${code}`)
  return JSON.parse(text)
}
