// What one worker asks of Node, each in a function that takes nothing and gives the milliseconds it took. The file is the
// same for every lane: in the shared loop, in plain Node, and in plain Node inside `AsyncLocalStorage.run`. `count` is
// given for the warm-up only.
import { EventEmitter } from 'node:events'
import { stat } from 'node:fs'
import { Agent, createServer, get } from 'node:http'
import { fileURLToPath } from 'node:url'

const FILE = fileURLToPath(import.meta.url)
const FS_IN_FLIGHT = 64
const HTTP_IN_FLIGHT = 32

export const workloads = {
  immediates,
  timers,
  emits,
  onces,
  fsCallbacks,
  awaits,
  requests,
  envReads,
  jsonCalls,
  dates,
}

/** Turns of the loop, each asked for by the one before. */
function immediates(count = 20_000) {
  return timed((done) => {
    let left = count
    const turn = () => (--left === 0 ? done() : setImmediate(turn))
    setImmediate(turn)
  })
}

/** Timers of 1 ms, all set before the first is due. */
function timers(count = 20_000) {
  return timed((done) => {
    let left = count
    const due = () => --left === 0 && done()
    for (let i = 0; i < count; i++) setTimeout(due, 1)
  })
}

/** Events of an emitter that the worker made, to one listener of its own. */
function emits(count = 100_000) {
  const emitter = new EventEmitter()
  let seen = 0
  emitter.on('tick', (value) => (seen += value))
  return timed((done) => {
    for (let i = 0; i < count; i++) emitter.emit('tick', 1)
    expectCount(seen, count)
    done()
  })
}

/** A listener for one event, and the event. */
function onces(count = 20_000) {
  const emitter = new EventEmitter()
  let seen = 0
  return timed((done) => {
    for (let i = 0; i < count; i++) {
      emitter.once('done', () => seen++)
      emitter.emit('done')
    }
    expectCount(seen, count)
    done()
  })
}

/** Callbacks of `fs.stat`. */
function fsCallbacks(count = 20_000) {
  return timed((done, fail) => {
    inFlight(count, FS_IN_FLIGHT, done, (next) => stat(FILE, (error) => (error ? fail(error) : next())))
  })
}

/** Half of a promise that is resolved already, half of an async function. */
function awaits(count = 100_000) {
  const resolved = Promise.resolve(1)
  const nothing = async () => 1
  return timed(async (done) => {
    let seen = 0
    for (let i = 0; i < count; i += 2) {
      seen += await resolved
      seen += await nothing()
    }
    expectCount(seen, count)
    done()
  })
}

/** Requests over loopback to a server of the same worker, by an agent that keeps its connections. */
async function requests(count = 20_000) {
  const server = createServer((_, response) => response.end('ok'))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  const agent = new Agent({ keepAlive: true, maxSockets: HTTP_IN_FLIGHT })
  try {
    return await timed((done, fail) => {
      inFlight(count, HTTP_IN_FLIGHT, done, (next) =>
        get({ host: '127.0.0.1', port, agent }, (response) => response.resume().on('end', next)).on(
          'error',
          fail,
        ),
      )
    })
  } finally {
    agent.destroy()
    server.close()
  }
}

/** Reads of an environment variable. */
function envReads(count = 1_000_000) {
  return timed((done) => {
    let seen = 0
    for (let i = 0; i < count; i++) seen += process.env.BENCH_VALUE.length
    expectCount(seen, count)
    done()
  })
}

/** `JSON.stringify` and `JSON.parse` of a number, each looked up for each call. */
function jsonCalls(count = 1_000_000) {
  return timed((done) => {
    let seen = 0
    for (let i = 0; i < count; i++) seen += JSON.parse(JSON.stringify(1))
    expectCount(seen, count)
    done()
  })
}

/** `Date.now()` and `new Date()`, each looked up for each call. */
function dates(count = 1_000_000) {
  return timed((done) => {
    let seen = 0
    for (let i = 0; i < count; i++) seen += Date.now() <= new Date().getTime() ? 1 : 0
    expectCount(seen, count)
    done()
  })
}

async function timed(work) {
  const from = performance.now()
  await new Promise((resolve, reject) => work(resolve, reject)?.catch?.(reject))
  return performance.now() - from
}

/** Starts `count` pieces of work, so many at a time; `start(next)` calls `next` when its piece has ended. */
function inFlight(count, width, done, start) {
  let started = 0
  let ended = 0
  const next = () => {
    if (++ended === count) done()
    else if (started < count) begin()
  }
  const begin = () => {
    started++
    start(next)
  }
  for (let i = 0; i < Math.min(width, count); i++) begin()
}

/** The work was done, and no engine left it out. */
function expectCount(seen, count) {
  if (seen !== count) throw new Error(`The work was done ${seen} times instead of ${count}`)
}
