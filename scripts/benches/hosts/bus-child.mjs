// One measurement of the embedded bus in a separate process: `node bus-child.mjs <scenario>` prints one JSON line.
// Started by bus.mjs with an empty environment; works on dist/.
import { AsyncLocalStorage } from 'node:async_hooks'
import { systemClock } from '../../../build/src/base/clock.js'
import { createEmbeddedBus } from '../../../build/src/bus/embedded.js'

/** 100 bytes of JSON, of the kind a worker sends. */
const PAYLOAD = {
  id: 'ord_01j9x3k8',
  kind: 'order.created',
  total: 1234.5,
  items: [1, 2, 3],
  note: 'leave it at the',
}
const WARM = 100_000
const COUNT = 500_000
const THINGS = 8000

const makeBus = () => createEmbeddedBus({ messageBytes: 1_048_576, buffer: 1000, clock: systemClock })

/** Runs `work(count)` once to warm up, then measured: per second of wall clock and of CPU (all threads of the process). */
async function rate(work) {
  await work(WARM)
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  await work(COUNT)
  const wallMs = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpuBefore)
  return { perSecond: (COUNT / wallMs) * 1000, perCpuSecond: COUNT / ((user + system) / 1e6) }
}

async function consume(sub, count) {
  let received = 0
  for await (const message of sub) {
    if (message.payload.total !== PAYLOAD.total) throw new Error('a wrong payload')
    if (++received === count) return
  }
  throw new Error(`the subscription ended after ${received} of ${count}`)
}

/** `publish(bus, count)` against `subscribers` consumers that share the deliveries; fails when anything is dropped. */
const deliveries = (subscribers, publish) => async (count) => {
  const bus = makeBus()
  const subs = Array.from({ length: subscribers }, (_, i) => bus.scoped(`worker${i}`).subscribe('orders.>'))
  const each = Math.floor(count / subscribers)
  const consumers = subs.map((sub) => consume(sub, each))
  await publish(bus.scoped('publisher'), each)
  await Promise.all(consumers)
  if (subs.some((sub) => sub.dropped > 0)) throw new Error('messages were dropped')
  await bus.close()
}

async function oneByOne(bus, count) {
  for (let i = 0; i < count; i++) await bus.publish('orders.created', PAYLOAD)
}

async function inBursts(bus, count) {
  for (let sent = 0; sent < count; ) {
    for (let i = 0; i < 500 && sent < count; i++, sent++) void bus.publish('orders.created', PAYLOAD)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function requests() {
  const bus = makeBus()
  const sub = bus.scoped('server').subscribe('ask')
  void (async () => {
    for await (const message of sub) await message.reply(message.payload)
  })()
  const client = bus.scoped('client')
  const ask = async (count) => {
    for (let i = 0; i < count; i++) await client.request('ask', PAYLOAD)
  }
  await ask(20_000)
  const startedAt = performance.now()
  await ask(100_000)
  const perSecond = 100_000 / ((performance.now() - startedAt) / 1000)
  const roundTripsMs = []
  for (let i = 0; i < 20_000; i++) {
    const sentAt = performance.now()
    await client.request('ask', PAYLOAD)
    roundTripsMs.push(performance.now() - sentAt)
  }
  roundTripsMs.sort((a, b) => a - b)
  await bus.close()
  return { perSecond, p50Ms: roundTripsMs[10_000], p99Ms: roundTripsMs[19_800] }
}

function heapUsed() {
  for (let i = 0; i < 4; i++) globalThis.gc()
  return process.memoryUsage().heapUsed
}

/** Heap bytes per thing that `make(bus, pattern)` makes, 8000 on one bus, once the code is warm. The pattern itself is
 *  the config's and not counted. */
async function bytesPerThing(make) {
  const build = async () => {
    const bus = makeBus()
    const patterns = Array.from({ length: THINGS }, (_, i) => JSON.parse(`"worker-${i}.>"`))
    const things = Array.from({ length: THINGS })
    const before = heapUsed()
    for (let i = 0; i < THINGS; i++) things[i] = make(bus, patterns[i])
    await new Promise((resolve) => setImmediate(resolve))
    const bytes = (heapUsed() - before) / THINGS
    await bus.close()
    return things.length === THINGS ? bytes : Number.NaN
  }
  for (let i = 0; i < 4; i++) await build()
  return { heapBytes: await build() }
}

async function waitForMessages(sub) {
  for await (const message of sub) if (message.topic === '') return
}

const deliver = () => {}

const SCENARIOS = {
  'one-by-one': () => rate(deliveries(1, oneByOne)),
  bursts: () => rate(deliveries(1, inBursts)),
  // with a context entered, as the supervisor does for every worker it hosts
  context: () => {
    const context = new AsyncLocalStorage()
    return context.run('host', () =>
      rate(deliveries(1, (bus, n) => context.run('publisher', () => oneByOne(bus, n)))),
    )
  },
  fanout: () => rate(deliveries(18, oneByOne)),
  // what serialising and parsing alone cost: no bus can be faster
  ceiling: () =>
    rate(async (count) => {
      for (let i = 0; i < count; i++)
        if (JSON.parse(JSON.stringify(PAYLOAD)).total !== PAYLOAD.total) throw new Error('a wrong payload')
    }),
  request: requests,
  'tap-bytes': () => bytesPerThing((bus, pattern) => bus.tap(pattern, deliver)),
  'subscription-bytes': () => bytesPerThing((bus, pattern) => bus.subscribe(pattern)),
  'waiting-bytes': () => bytesPerThing((bus, pattern) => waitForMessages(bus.subscribe(pattern))),
  'scope-bytes': () => bytesPerThing((bus, name) => bus.scoped(name)),
}

const payloadBytes = Buffer.byteLength(JSON.stringify(PAYLOAD))
if (payloadBytes !== 100) throw new Error(`the payload has ${payloadBytes} bytes, not 100`)
process.stdout.write(`${JSON.stringify(await SCENARIOS[process.argv[2]]())}\n`)
