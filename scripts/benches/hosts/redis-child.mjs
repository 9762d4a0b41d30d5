// One lane of the Redis bench; prints its figures as JSON. The publisher is a process of its own, started here.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { systemClock } from '../../../dist/base/clock.js'
import { openRedisBus } from '../../../dist/bus/redis.js'
import { startFleetControl } from '../../../dist/supervisor/control/fleet.js'
import { readReply, signedParts } from '../../../dist/supervisor/control/fleet-message.js'
import { sign } from '../../../dist/supervisor/control/signature.js'

const [scenario, port, countText] = process.argv.slice(2)
const count = Number(countText)
const SELF = fileURLToPath(import.meta.url)
const BATCH = 100
const ADD_BATCH = 500
const QUIET = { autorun: false, skipStalledCheck: true }
const TRIPS = 3000
const SECRET = 'a-secret-of-some-forty-characters-length'
const PAYLOAD = { text: 'x'.repeat(88) } // 100 bytes as JSON

const client = () => new Redis(Number(port), '127.0.0.1')
const openBus = () =>
  openRedisBus({
    herd: 'bench',
    server: { url: `redis://127.0.0.1:${port}` },
    messageBytes: 1_048_576,
    buffer: 1_000_000,
    clock: systemClock,
  })
const perSecond = (since) => ({ perSecond: (count / (performance.now() - since)) * 1000 })
const publisher = () => fork(SELF, ['publisher', port, countText], { execArgv: [] })

const LANES = {
  /** Pipelines envelopes to the channel both lanes listen to. */
  async publisher() {
    const redis = client()
    for (let n = 0; n < count; ) {
      const pipeline = redis.pipeline()
      for (let i = 0; i < 500 && n < count; i++, n++)
        pipeline.publish('byre:bench:work', JSON.stringify({ v: 1, id: `p-${n}`, ts: 1, payload: PAYLOAD }))
      await pipeline.exec()
    }
    redis.disconnect()
  },
  async 'raw-messages'() {
    const redis = client()
    await redis.subscribe('byre:bench:work')
    let seen = 0
    let since
    const all = new Promise((resolve) => {
      redis.on('message', (_, text) => {
        since ??= performance.now()
        JSON.parse(text)
        if (++seen === count) resolve()
      })
    })
    publisher()
    await all
    redis.disconnect()
    return perSecond(since)
  },
  async 'byre-messages'() {
    const bus = await openBus()
    const subscription = bus.scoped('worker').subscribe('work')
    await subscription.ready
    publisher()
    let seen = 0
    let since
    for await (const _ of subscription) {
      since ??= performance.now()
      if (++seen === count) break
    }
    await bus.close()
    return perSecond(since)
  },
  async 'raw-jobs'() {
    const redis = client()
    const key = await fill(redis, 'raw')
    await redis.xgroup('CREATE', key, 'g', '0')
    const since = performance.now()
    for (let seen = 0; seen < count; ) {
      const [[, entries]] = await redis.xreadgroup('GROUP', 'g', 'c', 'COUNT', BATCH, 'STREAMS', key, '>')
      for (const [, fields] of entries) JSON.parse(fields[1])
      await redis.xack(key, 'g', ...entries.map(([id]) => id))
      seen += entries.length
    }
    const figures = perSecond(since)
    await redis.del(key)
    redis.disconnect()
    return figures
  },
  async 'byre-jobs'() {
    const redis = client()
    const key = await fill(redis, 'byre')
    const bus = await openBus()
    await bus.enqueue('warm', 1)
    const since = performance.now()
    let seen = 0
    const acks = []
    for await (const job of bus.scoped('g').stream('byre', { concurrency: BATCH })) {
      const acked = job.ack()
      if (++seen > count - BATCH) acks.push(acked)
      if (seen === count) break
    }
    await Promise.all(acks)
    const figures = perSecond(since)
    await bus.close()
    await redis.del(key)
    redis.disconnect()
    return figures
  },
  /** Added, worked and completed, through byre: what was added is awaited, and what was acked. */
  async 'byre-through'() {
    const bus = await openBus()
    await bus.enqueue('warm', 1)
    const since = performance.now()
    const added = addAll((n) => Promise.all(Array.from({ length: n }, () => bus.enqueue('through', PAYLOAD))))
    const acks = []
    for await (const job of bus.scoped('g').stream('through', { concurrency: BATCH }))
      if (acks.push(job.ack()) === count) break
    await Promise.all([added, ...acks])
    const figures = perSecond(since)
    await bus.close()
    return figures
  },
  /** The same by BullMQ: addBulk, and a worker of the same concurrency; `completed` comes when Redis has it. */
  async 'bull-through'() {
    const { Queue, Worker } = await import('bullmq')
    const connection = () => new Redis(Number(port), '127.0.0.1', { maxRetriesPerRequest: null })
    const options = { removeOnComplete: true }
    const [adds, works] = [connection(), connection()]
    const queue = new Queue('through', { connection: adds, defaultJobOptions: options })
    const worker = new Worker('through', async () => {}, { connection: works, concurrency: BATCH, ...QUIET })
    await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()])
    let seen = 0
    const all = new Promise((resolve) => worker.on('completed', () => ++seen === count && resolve()))
    void worker.run()
    const since = performance.now()
    const added = addAll((n) =>
      queue.addBulk(Array.from({ length: n }, () => ({ name: 'j', data: PAYLOAD }))),
    )
    await Promise.all([added, all])
    const figures = perSecond(since)
    await Promise.all([worker.close(), queue.close()])
    for (const redis of [adds, works]) redis.disconnect()
    return figures
  },
  async 'raw-trips'() {
    const [asking, answering, publishing, hearing] = [client(), client(), client(), client()]
    await answering.subscribe('there')
    answering.on('message', (_, text) => void publishing.publish('back', text))
    await hearing.subscribe('back')
    const trips = await timeTrips(async () => {
      const heard = once(hearing, 'message')
      void asking.publish('there', '{"v":1}')
      await heard
    })
    for (const redis of [asking, answering, publishing, hearing]) redis.disconnect()
    return trips
  },
  'byre-trips': () => timeControl(undefined),
  'signed-trips': () => timeControl(SECRET),
}

/** Asks for the state of a worker, as `byre status` does. */
async function timeControl(secret) {
  const [bus, operator] = [await openBus(), await openBus()]
  const state = { v: 1, ok: true, worker: 'w', state: 'running' }
  const target = { act: ({ id }) => ({ status: 202, body: { ...state, id } }) }
  const log = { warn() {}, error() {} }
  startFleetControl({ bus, herd: 'bench', member: 'h/_all/1', target, secret, log, clock: systemClock })
  const replies = operator.subscribe('system._reply.bench')
  await Promise.all([replies.ready, operator.members.list()])
  const iterator = replies[Symbol.asyncIterator]()
  let n = 0
  const trips = await timeTrips(async () => {
    const command = { v: 1, id: `i${++n}`, action: 'status', by: 'bench' }
    const transport = { ts: Date.now(), nonce: `${n}`.padStart(16, '0'), replyTo: 'system._reply.bench' }
    const signed =
      secret === undefined ? {} : { sig: sign(secret, signedParts('bench', 'w', transport, command)) }
    void operator.publishSystem('system.w.control', { ...command, ...transport, ...signed })
    const { value } = await iterator.next()
    if (readReply(value.payload, command.id, 'bench', secret)?.ok !== true) throw new Error('not the reply')
  })
  await Promise.all([bus.close(), operator.close()])
  return trips
}

/** Batch by batch, each awaited, as a producer does that wants to know. */
async function addAll(add) {
  for (let n = 0; n < count; n += ADD_BATCH) await add(Math.min(ADD_BATCH, count - n))
}

async function fill(redis, stream) {
  const key = `byre:{bench}:jobs:${stream}`
  await redis.del(key)
  for (let n = 0; n < count; ) {
    const pipeline = redis.pipeline()
    for (let i = 0; i < 1000 && n < count; i++, n++) pipeline.xadd(key, '*', 'p', JSON.stringify(PAYLOAD))
    await pipeline.exec()
  }
  return key
}

async function timeTrips(trip) {
  for (let n = 0; n < 300; n++) await trip()
  const times = []
  for (let n = 0; n < TRIPS; n++) {
    const since = performance.now()
    await trip()
    times.push(performance.now() - since)
  }
  times.sort((a, b) => a - b)
  return { p50Ms: times[TRIPS / 2], p99Ms: times[Math.floor(TRIPS * 0.99)] }
}

const figures = await LANES[scenario]()
if (figures !== undefined) process.stdout.write(JSON.stringify(figures))
