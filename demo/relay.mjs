// The relay is a small message broker on a Unix socket. The workers of the demo communicate through it in both phases (18
// processes, then one), because byre's embedded bus does not reach other processes.
//
//   queues    put and take, in order, bounded; a take can wait for items
//   services  ask and answer: one worker serves a name, all others can send it requests
//   counts    each worker reports how much work it has done; scripts/demo prints the sums

import { rmSync } from 'node:fs'
import net from 'node:net'
import { readFrames, writeFrame } from './lib/lines.js'

export const MAX_QUEUE_ITEMS = 1000
/** In characters of JSON. A take returns at most 100 items, which fit into one line. */
export const MAX_ITEM_LENGTH = 8 * 1024
export const MAX_WAITING = 1000
const MAX_NAMES = 200

/**
 * @typedef {{ socket: net.Socket, id: number, max: number, timer: NodeJS.Timeout }} Waiting
 * @typedef {{ items: unknown[], waiting: Waiting[], refused: number }} Queue
 * @typedef {{ put(queue: string, items: unknown[]): number, done: Map<string, number>, connections(): number,
 *   depths(): Record<string, number>, refused(): number, reset(): void, close(): Promise<void> }} Relay
 */

/**
 * Listens on the Unix socket `path`.
 * @param {string} path
 * @returns {Promise<Relay>}
 */
export async function startRelay(path) {
  const queues = makeQueues()
  const services = makeServices()
  /** @type {Map<string, number>} */
  const done = new Map()
  /** @type {Set<net.Socket>} */
  const sockets = new Set()

  /** @type {Record<string, (socket: net.Socket, frame: any) => void>} */
  const operations = {
    put: (socket, { id, queue, items }) => {
      const accepted = queues.put(String(queue), Array.isArray(items) ? items : [])
      writeFrame(socket, { op: 'reply', id, value: accepted })
    },
    take: (socket, { id, queue, max, waitMs }) =>
      queues.take(socket, {
        id,
        queue: String(queue),
        max: clamp(max, 1, 100),
        waitMs: clamp(waitMs, 0, 60_000),
      }),
    cancel: (socket, { id }) => queues.cancel(socket, id),
    serve: (socket, { service }) => services.serve(socket, String(service)),
    ask: (socket, frame) => services.ask(socket, frame),
    answer: (socket, frame) => services.answer(socket, frame),
    count: (_socket, { worker, by }) => {
      if (done.size < MAX_NAMES || done.has(worker))
        done.set(worker, (done.get(worker) ?? 0) + clamp(by, 0, 1e6))
    },
  }

  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}) // 'close' follows, and the client reconnects
    socket.on('close', () => {
      sockets.delete(socket)
      queues.forget(socket)
      services.forget(socket)
    })
    readFrames(socket, (frame) => {
      if (Object.hasOwn(operations, frame.op)) operations[frame.op]?.(socket, frame)
    })
  })
  rmSync(path, { force: true })
  await /** @type {Promise<void>} */ (
    new Promise((resolve, reject) => server.once('error', reject).listen(path, resolve))
  )
  return {
    done,
    put: (queue, items) => queues.put(queue, items),
    depths: () => queues.depths(),
    refused: () => queues.refused(),
    connections: () => sockets.size,
    reset() {
      done.clear()
      queues.clear()
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

function makeQueues() {
  /** @type {Map<string, Queue>} */
  const queues = new Map()
  /** @param {string} name */
  const queueOf = (name) => {
    const queue = queues.get(name) ?? { items: [], waiting: [], refused: 0 }
    if (queues.size < MAX_NAMES) queues.set(name, queue)
    return queue
  }
  /** @param {Queue} queue @param {Waiting} waiting */
  const hand = (queue, { socket, id, max, timer }) => {
    clearTimeout(timer)
    const items = queue.items.splice(0, max)
    if (!writeFrame(socket, { op: 'reply', id, value: items })) queue.items.unshift(...items)
  }
  return {
    /** Appends items up to the limit; further items are refused and counted. @param {string} name @param {unknown[]} items */
    put(name, items) {
      const queue = queueOf(name)
      const fitting = items.filter((item) => (JSON.stringify(item)?.length ?? Infinity) <= MAX_ITEM_LENGTH)
      const accepted = fitting.slice(0, MAX_QUEUE_ITEMS - queue.items.length)
      queue.refused += items.length - accepted.length
      queue.items.push(...accepted)
      while (queue.items.length > 0) {
        const next = queue.waiting.shift()
        if (next === undefined) break
        hand(queue, next)
      }
      return accepted.length
    },
    /** @param {net.Socket} socket @param {{ id: number, queue: string, max: number, waitMs: number }} take */
    take(socket, { id, queue: name, max, waitMs }) {
      const queue = queueOf(name)
      const timer = setTimeout(() => {
        queue.waiting = queue.waiting.filter((other) => other !== waiting)
        writeFrame(socket, { op: 'reply', id, value: [] })
      }, waitMs)
      const waiting = { socket, id, max, timer }
      if (queue.items.length > 0 || waitMs === 0 || queue.waiting.length >= MAX_WAITING) hand(queue, waiting)
      else queue.waiting.push(waiting)
    },
    /** Ends a waiting take with an empty list. @param {net.Socket} socket @param {number} id */
    cancel(socket, id) {
      for (const queue of queues.values()) {
        const waiting = queue.waiting.find((one) => one.socket === socket && one.id === id)
        if (waiting === undefined) continue
        clearTimeout(waiting.timer)
        queue.waiting = queue.waiting.filter((other) => other !== waiting)
        writeFrame(socket, { op: 'reply', id, value: [] })
      }
    },
    /** @param {net.Socket} socket */
    forget(socket) {
      for (const queue of queues.values()) {
        for (const one of queue.waiting) if (one.socket === socket) clearTimeout(one.timer)
        queue.waiting = queue.waiting.filter((one) => one.socket !== socket)
      }
    },
    depths: () => Object.fromEntries([...queues].map(([name, queue]) => [name, queue.items.length])),
    refused: () => [...queues.values()].reduce((sum, queue) => sum + queue.refused, 0),
    clear() {
      for (const queue of queues.values()) {
        queue.items.length = 0
        queue.refused = 0
      }
    },
  }
}

function makeServices() {
  /** @type {Map<string, net.Socket>} */
  const servers = new Map()
  /** @type {Map<number, { socket: net.Socket, id: number, server: net.Socket }>} */
  const asked = new Map()
  let nextCall = 1
  return {
    /** The last worker that registers a name serves it. @param {net.Socket} socket @param {string} service */
    serve(socket, service) {
      if (servers.size < MAX_NAMES || servers.has(service)) servers.set(service, socket)
    },
    /** @param {net.Socket} socket @param {any} frame */
    ask(socket, { id, service, payload }) {
      const server = servers.get(String(service))
      const call = nextCall++
      if (
        server === undefined ||
        asked.size >= MAX_WAITING ||
        !writeFrame(server, { op: 'call', id: call, service, payload })
      ) {
        writeFrame(socket, { op: 'reply', id, error: `no worker serves '${service}'` })
        return
      }
      asked.set(call, { socket, id, server })
    },
    /** @param {net.Socket} _server @param {any} frame */
    answer(_server, { id: call, value, error }) {
      const asker = asked.get(call)
      asked.delete(call)
      if (asker !== undefined) writeFrame(asker.socket, { op: 'reply', id: asker.id, value, error })
    },
    /** @param {net.Socket} socket */
    forget(socket) {
      for (const [name, server] of servers) if (server === socket) servers.delete(name)
      for (const [call, asker] of asked) {
        if (asker.server === socket)
          writeFrame(asker.socket, {
            op: 'reply',
            id: asker.id,
            error: 'the worker that serves it has disconnected',
          })
        if (asker.server === socket || asker.socket === socket) asked.delete(call)
      }
    },
  }
}

/** @param {unknown} value @param {number} low @param {number} high */
function clamp(value, low, high) {
  return Math.min(high, Math.max(low, Math.floor(Number(value) || 0)))
}
