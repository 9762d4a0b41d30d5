// One lane of the Redis bench; prints its figures as JSON. The publisher is a separate process, started here.
import { fork } from 'node:child_process'
import { on } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { systemClock } from '../../../build/src/base/clock.js'
import { openRedisBus } from '../../../build/src/bus/redis.js'
import { startFleetControl } from '../../../build/src/control/fleet.js'
import { commandMessage, readReply } from '../../../build/src/control/fleet-message.js'

const [scenario, port, countText] = process.argv.slice(2)
const count = Number(countText)
const SELF = fileURLToPath(import.meta.url)
const BATCH = 100
const ADD_BATCH = 500
const QUIET = { autorun: false, skipStalledCheck: true }
const TRIPS = 3000
const TURN = 50
/** What has a rate is measured in so many turns of its lanes. */
const TURNS = 10
const SECRET = 'a-secret-of-some-forty-characters-length'
const PAYLOAD = { text: 'x'.repeat(88) } // 100 bytes as JSON

const client = () => new Redis(Number(port), '127.0.0.1')
const openBus = (herd = 'bench') =>
  openRedisBus({
    herd,
    server: { url: `redis://127.0.0.1:${port}` },
    messageBytes: 1_048_576,
    buffer: 1_000_000,
    clock: systemClock,
  })
const perSecond = (since) => ({ perSecond: (count / (performance.now() - since)) * 1000 })

const LANES = {
  /** Pipelines envelopes to the channel it is told, as many as in a turn. */
  async publisher() {
    const redis = client()
    for await (const [channel] of on(process, 'message')) {
      for (let n = 0; n < count / TURNS; ) {
        const pipeline = redis.pipeline()
        for (let i = 0; i < 500; i++, n++)
          pipeline.publish(channel, JSON.stringify({ v: 1, id: `p-${n}`, ts: 1, payload: PAYLOAD }))
        await pipeline.exec()
      }
    }
  },
  /** To a handler, in turns: raw ioredis that parses JSON, and byre. */
  async messages() {
    const redis = client()
    const bus = await openBus()
    const subscription = bus.scoped('worker').subscribe('work')
    const iterator = subscription[Symbol.asyncIterator]()
    await Promise.all([redis.subscribe('raw'), subscription.ready])
    let next
    redis.on('message', (_, text) => next(JSON.parse(text)))
    const publisher = fork(SELF, ['publisher', port, countText], { execArgv: [] })
    const raw = (total) =>
      new Promise((resolve) => {
        let seen = 0
        let since
        next = () => {
          since ??= performance.now()
          if (++seen === total) resolve(performance.now() - since)
        }
        publisher.send('raw')
      })
    const byre = async (total) => {
      publisher.send('byre:bench:work')
      await iterator.next()
      const since = performance.now()
      for (let seen = 1; seen < total; seen++) await iterator.next()
      return performance.now() - since
    }
    const figures = await inTurns({ raw, byre })
    publisher.kill()
    await bus.close()
    redis.disconnect()
    return figures
  },
  /** From a stream, in turns: XREADGROUP and XACK by hand, and byre. */
  async jobs() {
    const redis = client()
    const bus = await openBus()
    await bus.enqueue('warm', 1)
    const raw = async (total) => {
      const key = await fill(redis, 'raw', total)
      await redis.xgroup('CREATE', key, 'g', '0')
      const since = performance.now()
      for (let seen = 0; seen < total; ) {
        const [[, entries]] = await redis.xreadgroup('GROUP', 'g', 'c', 'COUNT', BATCH, 'STREAMS', key, '>')
        for (const [, fields] of entries) JSON.parse(fields[1])
        await redis.xack(key, 'g', ...entries.map(([id]) => id))
        seen += entries.length
      }
      return performance.now() - since
    }
    const byre = async (total) => {
      await fill(redis, 'byre', total)
      const since = performance.now()
      let seen = 0
      const acks = []
      for await (const job of bus.scoped('g').stream('byre', { concurrency: BATCH })) {
        const acked = job.ack()
        if (++seen > total - BATCH) acks.push(acked)
        if (seen === total) break
      }
      await Promise.all(acks)
      return performance.now() - since
    }
    const figures = await inTurns({ raw, byre })
    await bus.close()
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
  /** A handful of each in turn on connections that stay, since the machine's pace changes from one second to the next. */
  async trips() {
    const lanes = {
      bare: await bareTrips(),
      raw: await rawTrips(),
      byre: await controlTrips('plain', undefined),
      signed: await controlTrips('signed', SECRET),
    }
    const figures = await timeTrips(lanes)
    for (const { close } of Object.values(lanes)) await close()
    return figures
  },
}

/** Seven bytes there and back, nothing made or parsed: what is left is Redis, the sockets and ioredis. */
async function bareTrips() {
  const [asking, answering, publishing, hearing] = [client(), client(), client(), client()]
  await answering.subscribe('bare-there')
  answering.on('message', (_, text) => void publishing.publish('bare-back', text))
  await hearing.subscribe('bare-back')
  let heard
  hearing.on('message', () => heard())
  return {
    async trip() {
      const reply = new Promise((resolve) => (heard = resolve))
      void asking.publish('bare-there', '{"v":1}')
      await reply
    },
    close: () => [asking, answering, publishing, hearing].forEach((redis) => redis.disconnect()),
  }
}

/** By hand, with what any control message needs: the same bytes, an id to tell replies apart, JSON made and parsed at both
 *  ends. No envelope is judged, no action checked, nothing bounded. */
async function rawTrips() {
  const [asking, answering, publishing, hearing] = [client(), client(), client(), client()]
  await answering.subscribe('there')
  answering.on('message', (_, text) => {
    const { id, ts, payload } = JSON.parse(text)
    const state = { v: 1, id: payload.id, ok: true, worker: 'w', state: 'running', member: 'h/_all/1' }
    void publishing.publish(payload.replyTo, JSON.stringify({ v: 1, id, ts, payload: state }))
  })
  await hearing.subscribe('system._reply.bench')
  let heard
  hearing.on('message', (_, text) => heard(JSON.parse(text)))
  let n = 0
  return {
    async trip() {
      const { id, action, by } = question(++n)
      const { ts, nonce, replyTo } = transport(n)
      const reply = new Promise((resolve) => (heard = resolve))
      const payload = { v: 1, id, action, by, ts, nonce, replyTo }
      void asking.publish('there', JSON.stringify({ v: 1, id: `mi9abcdeabcdef-${n}`, ts, payload }))
      if ((await reply).payload.id !== id) throw new Error('not the reply')
    },
    close: () => [asking, answering, publishing, hearing].forEach((redis) => redis.disconnect()),
  }
}

/** Asks for the state of a worker, as `byre status` does. */
async function controlTrips(herd, secret) {
  const [bus, operator] = [await openBus(herd), await openBus(herd)]
  const act = ({ id, worker }) => ({ status: 202, body: { v: 1, id, ok: true, worker, state: 'running' } })
  const log = { warn() {}, error() {} }
  startFleetControl({ bus, herd, member: 'h/_all/1', target: { act }, secret, log, clock: systemClock })
  const replies = operator.subscribe('system._reply.bench')
  await Promise.all([replies.ready, operator.members.list()])
  const iterator = replies[Symbol.asyncIterator]()
  let n = 0
  return {
    async trip() {
      const command = question(++n)
      const message = commandMessage(herd, 'w', command, transport(n), secret)
      void operator.publishSystem('system.w.control', message)
      const { value } = await iterator.next()
      if (readReply(value.payload, command.id, herd, secret)?.ok !== true) throw new Error('not the reply')
    },
    close: () => Promise.all([bus.close(), operator.close()]),
  }
}

const question = (n) => ({ id: `i${n}`, action: 'status', by: 'bench' })
const transport = (n) => ({
  ts: Date.now(),
  nonce: `${n}`.padStart(16, '0'),
  replyTo: 'system._reply.bench',
})

/** Batch by batch, each awaited, as a producer does that wants to know. */
async function addAll(add) {
  for (let n = 0; n < count; n += ADD_BATCH) await add(Math.min(ADD_BATCH, count - n))
}

/** Each lane gets its share of `count` in turn and says how many milliseconds it took; the first turn is not counted. */
async function inTurns(lanes) {
  const spent = {}
  for (let turn = 0; turn <= TURNS; turn++) {
    for (const [name, lane] of Object.entries(lanes)) {
      const ms = await lane(count / TURNS)
      if (turn > 0) spent[name] = (spent[name] ?? 0) + ms
    }
  }
  return Object.fromEntries(
    Object.entries(spent).map(([name, ms]) => [name, { perSecond: (count / ms) * 1000 }]),
  )
}

async function fill(redis, stream, total) {
  const key = `byre:{bench}:jobs:${stream}`
  await redis.del(key)
  for (let n = 0; n < total; ) {
    const pipeline = redis.pipeline()
    for (let i = 0; i < 1000; i++, n++) pipeline.xadd(key, '*', 'p', JSON.stringify(PAYLOAD))
    await pipeline.exec()
  }
  return key
}

/** The first of each turn are not timed: what ran before has the caches. */
async function timeTrips(lanes) {
  const times = Object.fromEntries(Object.keys(lanes).map((name) => [name, []]))
  for (const { trip } of Object.values(lanes)) for (let n = 0; n < 300; n++) await trip()
  for (let turn = 0; turn < TRIPS / TURN; turn++) {
    for (const [name, { trip }] of Object.entries(lanes)) {
      for (let n = 0; n < 5; n++) await trip()
      for (let n = 0; n < TURN; n++) {
        const since = performance.now()
        await trip()
        times[name].push(performance.now() - since)
      }
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, values]) => [name, percentiles(values)]))
}

function percentiles(values) {
  values.sort((a, b) => a - b)
  return { p50Ms: values[TRIPS / 2], p99Ms: values[Math.floor(TRIPS * 0.99)] }
}

const figures = await LANES[scenario]()
if (figures !== undefined) process.stdout.write(JSON.stringify(figures))
