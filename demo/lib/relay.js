// The workers' end of the relay (../relay.mjs). A process has one connection, however many workers use it: `ctx.use` counts
// the references. 18 workers in 18 processes hold 18 connections; the same 18 in one process hold one.

import { AsyncResource } from 'node:async_hooks'
import net from 'node:net'
import { readFrames, writeFrame } from './lines.js'

/** The maximum number of frames that wait for a connection; further calls are refused at once. */
const MAX_PENDING = 1000
const RECONNECT_MS = { first: 50, max: 2000 }

/**
 * @typedef {(payload: any) => unknown} Handler
 * @typedef {{ frame: any, resend: boolean, resolve: (value: any) => void, reject: (error: Error) => void }} Pending
 * @typedef {Object} RelayClient
 * @property {(queue: string, items: unknown[]) => Promise<number>} put  Resolves with the number of accepted items.
 * @property {(queue: string, options?: { max?: number, waitMs?: number, signal?: AbortSignal }) => Promise<any[]>} take
 *   Resolves with up to `max` items; waits up to `waitMs` for the first. An abort ends the wait; no item is lost.
 * @property {(service: string, payload: unknown, options?: { timeoutMs?: number }) => Promise<any>} ask
 * @property {(service: string, handler: Handler) => () => void} serve  Returns a function that stops serving.
 * @property {(worker: string, by?: number) => void} count  Adds to the amount of work that this worker has done.
 * @property {() => void} close
 */

/**
 * The shared resource of `ctx.use(relay(path))`.
 * @param {string} path the relay's Unix socket
 * @returns {import('byre/worker').Resource<RelayClient>}
 */
export function relay(path) {
  return { key: `relay:${path}`, create: () => connect(path), dispose: (client) => client.close() }
}

/**
 * Does not wait for the relay: calls made before the relay listens are sent once it does.
 * @param {string} path
 * @returns {RelayClient}
 */
export function connect(path) {
  /** @type {Map<number, Pending>} */
  const pending = new Map()
  /** @type {Map<string, Handler>} */
  const services = new Map()
  /** @type {Map<string, number>} */
  const uncounted = new Map()
  /** @type {net.Socket | undefined} set while connected */
  let socket
  /** @type {net.Socket | undefined} */
  let opening
  /** @type {NodeJS.Timeout | undefined} */
  let retry
  let retryMs = RECONNECT_MS.first
  let nextId = 1
  let closed = false

  /** @param {any} frame */
  const answer = (frame) => {
    const handler = services.get(frame.service)
    const to = socket
    if (to === undefined) return
    Promise.resolve()
      .then(() =>
        handler === undefined
          ? Promise.reject(new Error('this process does not serve it'))
          : handler(frame.payload),
      )
      .then(
        (value) => writeFrame(to, { op: 'answer', id: frame.id, value }),
        (error) => writeFrame(to, { op: 'answer', id: frame.id, error: String(error?.message ?? error) }),
      )
  }
  /** @param {any} frame */
  const receive = (frame) => {
    if (frame.op === 'call') return answer(frame)
    const call = pending.get(frame.id)
    pending.delete(frame.id)
    if (frame.error !== undefined) call?.reject(new Error(String(frame.error)))
    else call?.resolve(frame.value)
  }
  const dropped = () => {
    socket = undefined
    for (const [id, call] of pending) {
      if (call.resend && !closed) continue
      pending.delete(id)
      call.reject(new Error(`Cannot reach the relay '${path}': the connection was lost`))
    }
    if (closed) return
    retry = setTimeout(open, retryMs)
    retryMs = Math.min(retryMs * 2, RECONNECT_MS.max)
  }
  const open = () => {
    const next = net.connect(path)
    opening = next
    next.on('error', () => {}) // 'close' follows
    next.on('close', dropped)
    readFrames(next, receive)
    next.once('connect', () => {
      socket = next
      retryMs = RECONNECT_MS.first
      for (const service of services.keys()) writeFrame(next, { op: 'serve', service })
      for (const [worker, by] of uncounted) writeFrame(next, { op: 'count', worker, by })
      uncounted.clear()
      for (const call of pending.values()) writeFrame(next, call.frame)
    })
  }
  /** @param {any} fields @param {boolean} resend @returns {{ id: number, reply: Promise<any> }} */
  const send = (fields, resend) => {
    const id = nextId++
    const frame = { ...fields, id }
    const reply = new Promise((resolve, reject) => {
      if (closed || pending.size >= MAX_PENDING) {
        reject(
          new Error(
            `Cannot call the relay '${path}': ${closed ? 'the client is closed' : `${MAX_PENDING} calls are already waiting`}`,
          ),
        )
        return
      }
      pending.set(id, { frame, resend, resolve, reject })
      if (socket !== undefined && !writeFrame(socket, frame)) {
        pending.delete(id)
        reject(
          new Error(
            `Cannot send to the relay '${path}': the message is too large or the connection is closing`,
          ),
        )
      }
    })
    return { id, reply }
  }
  open()

  return {
    put: (queue, items) => send({ op: 'put', queue, items }, false).reply,
    async take(queue, { max = 20, waitMs = 0, signal } = {}) {
      if (signal?.aborted === true) return []
      const { id, reply } = send({ op: 'take', queue, max, waitMs }, true)
      const cancel = () => {
        // Without a connection the relay holds no items for this client.
        if (socket === undefined) receive({ id, value: [] })
        else writeFrame(socket, { op: 'cancel', id })
      }
      signal?.addEventListener('abort', cancel, { once: true })
      try {
        return await reply
      } finally {
        signal?.removeEventListener('abort', cancel)
      }
    },
    async ask(service, payload, { timeoutMs = 5000 } = {}) {
      const { id, reply } = send({ op: 'ask', service, payload }, false)
      const timer = setTimeout(
        () => receive({ id, error: `no answer from '${service}' within ${timeoutMs} ms` }),
        timeoutMs,
      )
      return reply.finally(() => clearTimeout(timer))
    },
    serve(service, handler) {
      // The socket was created in the context of the first worker. The handler must run in the context of its own worker.
      const bound = AsyncResource.bind(handler)
      services.set(service, bound)
      if (socket !== undefined) writeFrame(socket, { op: 'serve', service })
      return () => {
        if (services.get(service) === bound) services.delete(service)
      }
    },
    count(worker, by = 1) {
      if (socket !== undefined && writeFrame(socket, { op: 'count', worker, by })) return
      if (uncounted.size < MAX_PENDING) uncounted.set(worker, (uncounted.get(worker) ?? 0) + by)
    },
    close() {
      closed = true
      clearTimeout(retry)
      if (socket === undefined) {
        opening?.destroy()
        dropped()
      } else socket.end()
    },
  }
}
